"""A report that lives while a run goes on: a web server that looks at an output folder and writes
nothing there, whose pages are told what the ledger newly has.

Not here: the report's page, its cards and previews (``report``), questions to the ledger
(``jobs/history.py``), whatever could start, stop or change a run."""
