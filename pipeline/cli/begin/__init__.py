"""What is typed first: photos instead of a job file, a job file written from a folder, a trial of a
few photos, completion, word at the end. Not here: what these do, which is in ``pipeline/begin``."""
