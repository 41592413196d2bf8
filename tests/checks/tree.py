"""What the checks share: which files the tree has, and how C++ is read without its comments and literals."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOT_OURS = {"build", ".git", "__pycache__", ".cache", ".vscode", ".idea"}

_SKIPPED = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<mark>[^()\\\s]*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                      re.DOTALL)
# A digit separator is no quote.
_SEPARATOR = re.compile(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"\n]+)[>"]', re.MULTILINE)


def files(root=ROOT, suffixes=()):
    """Paths relative to `root` of the files that end in one of `suffixes` (all files without), in order."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if name not in NOT_OURS)
        for name in sorted(names):
            if not suffixes or name.endswith(tuple(suffixes)):
                found.append(os.path.relpath(os.path.join(folder, name), root))
    return found


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def code_only(text):
    """The text with comments and literals blanked; lines keep their numbers."""
    text = _SEPARATOR.sub(" ", text)
    return _SKIPPED.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def includes(text):
    """(line, '<' or '"', name) of each include that is not in a comment."""
    plain = re.sub(r"//[^\n]*|/\*.*?\*/", lambda match: re.sub(r"[^\n]", " ", match[0]), text, flags=re.DOTALL)
    return [(plain.count("\n", 0, match.start(2)) + 1, match[1], match[2]) for match in _INCLUDE.finditer(plain)]


def line_of(text, position):
    return text.count("\n", 0, position) + 1
