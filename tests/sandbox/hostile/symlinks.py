"""Leads names of its folder to the file that stdin names, and writes through them."""

import os
import sys

path = sys.stdin.read().strip()
for number, target in enumerate((path, f"/proc/self/root{path}", f"/proc/1/root{path}", os.path.dirname(path), "/")):
    name = f"link{number}"
    os.symlink(target, name)
    for place in (name, os.path.join(name, os.path.basename(path))):
        try:
            with open(place, "r+") as file:
                file.write("overwritten")
            print("WROTE", place)
        except OSError as error:
            print(place, error.errno)
    try:
        os.link(path, f"hard{number}")
        print("LINKED")
    except OSError as error:
        print("link", error.errno)
