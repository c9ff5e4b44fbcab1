import sys
from pathlib import Path

# As `make bench-…` starts them: the scripts' folder is on the path.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
