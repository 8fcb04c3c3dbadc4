"""What is known of the Llama architecture: tensor names and shapes, order of rows, rotary factors, pre-tokenisers.

Each is said once, here, for whoever writes a GGUF, trains from one, or counts bytes. Names and numbers only: the functions that
move values work on any library's arrays, and none is imported. How files are read and written is known elsewhere.
"""
