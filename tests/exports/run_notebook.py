"""Executes a notebook as a reader would, its results included: `run_notebook.py NOTEBOOK`."""

import pathlib
import sys

import nbformat
from nbclient import NotebookClient

path = pathlib.Path(sys.argv[1])
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": path.parent}}).execute()
cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
for cell in cells:
    for output in cell.outputs:
        print(output.get("text", ""), end="")
print(f"{path.name}: {len(cells)} cells")
