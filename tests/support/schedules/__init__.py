"""Seeded schedules: a small job, disturbed by chance and resumed, against an undisturbed one.

``below`` makes calls of the file system fail, ``steps`` are what a schedule is made of, ``job``
is what is restored, ``director`` runs the schedules, ``checks`` says what must hold.
"""
