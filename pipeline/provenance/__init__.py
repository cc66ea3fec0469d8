"""What is handed over with the results of a job: RO-Crate, PREMIS, BagIt; all from its manifest.

Not here: what is said inside a result (``stages.photo.provenance``, ``stages.credentials``)."""
