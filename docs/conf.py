"""Sphinx configuration: ``sphinx-build -W docs build/docs``."""

import os

# One thread a process, as for the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from sphinx_gallery.sorting import ExplicitOrder

import skvae

project = "skvae"
author = "the skvae developers"
version = release = skvae.__version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["examples", "auto_examples/**/*.ipynb"]
templates_path = ["_templates"]
suppress_warnings = ["config.cache"]  # the gallery's sorting function cannot be pickled
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
smartquotes = False  # values such as "auto" are code
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_typehints = "none"  # the docstrings say more
autodoc_default_options = {"members": True, "inherited-members": True}
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # autodoc lists them
numpydoc_validation_checks = set()

html_theme = "pydata_sphinx_theme"
html_title = f"skvae {release}"
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 7,
    "navbar_persistent": ["search-button"],
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": [], "quick_start": [], "changelog": []}

SECTIONS = ["detecting", "reasons", "certainty", "model", "codes", "deploying"]
sphinx_gallery_conf = {
    "parallel": 2,
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
    "subsection_order": ExplicitOrder([f"examples/{section}" for section in SECTIONS]),
    "within_subsection_order": ExplicitOrder(
        ["plot_novelty_detection.py", "plot_explain_rows.py", "*"]
    ),
    "abort_on_example_error": True,
    "show_memory": False,
    "capture_repr": (),
    "show_signature": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "doc_module": ("skvae",),
    "backreferences_dir": "generated/backreferences",
}


def skip_what_others_document(app, what, name, obj, skip, options):
    """Leave methods inherited from scikit-learn and torch to their documentation."""
    return skip or not (getattr(obj, "__module__", None) or "").startswith("skvae")


def setup(app):
    """Connect to Sphinx."""
    app.connect("autodoc-skip-member", skip_what_others_document)
