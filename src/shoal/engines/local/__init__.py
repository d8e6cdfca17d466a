"""Generative models on this machine: GGUF files, run by llama.cpp in a process of their own.

llama.cpp ends its process on some input (a schema or a grammar nested deeply enough overflows its
stack, measured), and no check of ours can promise that there is nothing else like it. So each model
file is loaded by a child of the gateway: what kills it fails the calls that it was at, and the next
call starts another.
"""
