"""``python -m restore_batch``: the command line."""

from restore_batch.pipeline.cli.main import main

main()
