"""Tests of the library as it lies here: python3 -m unittest discover -t . -s tests"""

import os
import sys

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "src")))
