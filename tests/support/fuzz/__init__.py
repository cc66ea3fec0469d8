"""Files that were never made by a program that meant well, given to every reader.

``seeds`` are good files, ``mutation`` spoils them, ``readers`` says who reads them and which errors
are an answer, ``trial`` reads one in a process of its own and measures it.
"""
