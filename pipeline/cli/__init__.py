"""The command line: a file a command, what a run shows, tables of models.

Imported lazily: ``--help`` needs neither torch nor Ray. Not here: what the commands do."""
