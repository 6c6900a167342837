"""Lets every test import ``reference``, and takes the clock away from hypothesis."""

import signal

import torch
from hypothesis import settings

settings.register_profile("landscape", deadline=None)
settings.load_profile("landscape")
torch.set_num_threads(1)  # sums in one order on every machine
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, by every child as well
signal.signal(signal.SIGINT, signal.default_int_handler)  # and this one after a shell's &
