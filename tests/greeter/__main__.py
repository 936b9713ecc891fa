"""python -m tests.greeter serve|migrate|redrive"""

import sys

from services.kit.serve import main
from tests.greeter.service import SERVICE

sys.exit(main(SERVICE))
