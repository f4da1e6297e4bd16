"""Finds settings that serve a given traffic faster on this machine than the defaults do, by trying them.

``traffic`` says what is asked, ``load`` asks it and counts, ``trial`` starts a real server for that, ``knobs`` and
``search`` say what is tried next, ``gain`` compares with certainty in numbers, ``settings_file`` writes what was found.
``session`` is all of it within a budget of time.
"""
