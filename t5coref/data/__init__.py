"""SeqIO: tasks, their data on disk, their features and metrics. Needs the extra [seqio].

Importing this package imports neither TensorFlow nor SeqIO; its modules do where they say so.
"""
