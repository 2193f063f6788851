"""Names and programs that are not one owner's: a bypass of them is wider than it looks."""

from steering.policy.suffixes import holds_private_suffix, private_suffix

# Zones in which any customer of a provider gets a name.  The private part of the public suffix list knows many;
# these are the ones that it lacks or that stand above its entries.
SHARED_ZONES: dict[str, str] = {
    "akadns.net": "Akamai's DNS zone for its customers",
    "akamai.net": "Akamai's zone for its customers",
    "akamaiedge.net": "Akamai's zone for its customers",
    "akamaihd.net": "Akamai's zone for its customers",
    "akamaized.net": "Akamai's zone for its customers",
    "amazonaws.com": "Amazon's zone for its customers",
    "appspot.com": "Google's zone for its customers",
    "azure.com": "Microsoft's zone for its customers",
    "azure.net": "Microsoft's zone for its customers",
    "azureedge.net": "Microsoft's zone for its customers",
    "azurefd.net": "Microsoft's zone for its customers",
    "azurewebsites.net": "Microsoft's zone for its customers",
    "blob.core.windows.net": "Microsoft's storage for its customers",
    "cloudapp.net": "Microsoft's zone for its customers",
    "cloudfront.net": "Amazon's zone for its customers",
    "core.windows.net": "Microsoft's storage for its customers",
    "edgekey.net": "Akamai's zone for its customers",
    "edgesuite.net": "Akamai's zone for its customers",
    "fastly.net": "Fastly's zone for its customers",
    "footprint.net": "Lumen's zone for its customers",
    "github.io": "pages of GitHub's users",
    "googleapis.com": "Google's interfaces, customers' storage among them",
    "googleusercontent.com": "content of Google's users",
    "herokuapp.com": "Heroku's zone for its customers",
    "impervadns.net": "Imperva's zone for its customers",
    "incapdns.net": "Imperva's zone for its customers",
    "llnwd.net": "Edgio's zone for its customers",
    "msecnd.net": "Microsoft's zone for its customers",
    "netlify.app": "Netlify's zone for its customers",
    "pages.dev": "Cloudflare's zone for its customers",
    "s3.amazonaws.com": "Amazon's storage for its customers",
    "sharepoint.com": "Microsoft's zone for its customers",
    "trafficmanager.net": "Microsoft's zone for its customers",
    "vercel.app": "Vercel's zone for its customers",
    "windows.net": "Microsoft's zone for its customers",
    "workers.dev": "Cloudflare's zone for its customers",
}

# Without ".exe" and version numbers, case-folded: programs that run other people's.
INTERPRETERS: frozenset[str] = frozenset(
    {
        "bash",
        "bun",
        "busybox",
        "cmd",
        "com.apple.webkit.networking",
        "com.github.electron",
        "cscript",
        "dart",
        "dash",
        "deno",
        "dllhost",
        "dotnet",
        "electron",
        "erl",
        "fish",
        "java",
        "javaw",
        "julia",
        "ksh",
        "lua",
        "msedgewebview2",
        "mshta",
        "node",
        "nodejs",
        "nw",
        "osascript",
        "perl",
        "php",
        "powershell",
        "pwsh",
        "pypy",
        "python",
        "pythonw",
        "qtwebengineprocess",
        "regsvr32",
        "rscript",
        "ruby",
        "rubyw",
        "rundll32",
        "sh",
        "svchost",
        "taskhostw",
        "webkitnetworkprocess",
        "wine",
        "wscript",
        "wsl",
        "zsh",
    }
)


def shared_suffix(name: str) -> str | None:
    """Why names below ``name`` belong to many owners, or None where they do not."""
    if name in SHARED_ZONES:
        return f"'{name}' is {SHARED_ZONES[name]}"
    if private_suffix(name) or holds_private_suffix(name):
        return f"below '{name}' a provider's customers get names of their own"
    return None
