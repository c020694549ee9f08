"""Write the dashboards' JSON."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import fleet, monitor, run

FOLDER = Path(__file__).parent / "dashboards"
DASHBOARDS = {"run": run.build, "fleet": fleet.build, "monitor": monitor.build}


def encoded(dashboard: Dashboard) -> str:
    return JSONEncoder(sort_keys=True, indent=2).encode(dashboard) + "\n"


def main() -> None:
    for name, build in DASHBOARDS.items():
        (FOLDER / f"{name}.json").write_text(encoded(build()))


if __name__ == "__main__":
    main()
