"""The audit log: who asked what kind of thing when, with what outcome, so that nobody can change it unseen.

A folder of files ``audit-00000001.jsonl``, a record a line, each with the keyed hash (HMAC-SHA-256) of itself and of
the record before it. Prompts, answers and the callers' names for their users stand in it as keyed hashes alone: who has
a text and the key can tell whether it was this one, nobody can tell a text from the hash. The key is a file beside it,
readable by its owner alone: the log convinces nobody of the honesty of those who can read it.

What is found: a record that was changed, added, removed or put elsewhere, and an end that was cut off. A server that
begins compares the log's end with the head (``head.py``), and writes what it misses into the log, where it stands for
ever. What cannot be found without a copy elsewhere: that all files and the head were removed together, or that the
whole folder was put back as it had once been. Who must know that keeps copies of ``head.json``, or of its number and
hash, where the server cannot write.
"""
