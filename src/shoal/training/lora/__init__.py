"""Small generative models, tuned by low-rank adapters (Hu et al. 2021) on recorded calls.

``examples`` are the calls, ``preparation`` makes tokens of them, ``tuning`` trains, ``merging`` and
``judging`` are what follows. ``shoal.training.generative`` is the door to all of it. Importing this
package loads nothing.
"""
