"""What Steering knows of the world, as data: category tables, and applications that refuse inspection.

Read from the package; nothing is fetched.  Every file names its sources and its date.
"""

from steering.catalog.apps import App, By, Kind, find_app, load_apps, rule_for
from steering.catalog.categories import Category, load_categories, load_category_files
from steering.catalog.errors import CatalogError

__all__ = [
    "App",
    "By",
    "CatalogError",
    "Category",
    "Kind",
    "find_app",
    "load_apps",
    "load_categories",
    "load_category_files",
    "rule_for",
]
