"""The program document: one YAML file a version with all that a marketer decides.

`load` reads a document and refuses it with every problem at once, by line, path and way out; `check` returns
its warnings too. `Program.document()` is the plain JSON that is published, stored and compiled by the
services; `Program.from_document` reads it back, `content_hash` names it.
"""

from schemas.program.built import NOT_BUILT
from schemas.program.document import Program, content_hash
from schemas.program.loading import Checked, check, load
from schemas.program.problems import Problem, ProgramRefused

__all__ = ["NOT_BUILT", "Checked", "Problem", "Program", "ProgramRefused", "check", "content_hash", "load"]
