"""The small pictures that a report shows of a photo, made by the worker that has it at hand.

Not here: those of films (``stages/film``) and of results that were made before
(``pipeline/report``), contact sheets (``pipeline/compare``). Making them changes no result."""
