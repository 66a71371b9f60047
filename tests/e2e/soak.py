#!/usr/bin/env python3
"""The short form of `make soak`: as few rounds as tell whether anything grows."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "soak"))
import soak # noqa: E402

sys.exit(soak.main(1, 200, 1))
