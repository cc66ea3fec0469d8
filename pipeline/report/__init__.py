"""The report of an output folder: a page to look at, of what is on record and of small previews.

Data and pictures lie beside the page; nothing is asked of a network. Not here: contact sheets
(``compare``), questions to the manifest (``jobs/history.py``)."""
