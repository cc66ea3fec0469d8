"""What helps to begin with a collection: a look at what is in it, a job file that says why each
option is as it is, a trial of a few photos. Not here: what is typed, which is in
``pipeline/cli/begin``."""
