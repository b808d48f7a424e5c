"""The dashboards, the one that leads to all others first."""

from deploy.grafana.boards.business import BUSINESS
from deploy.grafana.boards.delivery import DELIVERY
from deploy.grafana.boards.ingest import INGEST
from deploy.grafana.boards.overview import OVERVIEW
from deploy.grafana.boards.quality import QUALITY
from deploy.grafana.boards.runtime import RUNTIME
from deploy.grafana.boards.scorer import SCORER
from deploy.grafana.boards.workspace import WORKSPACE

BOARDS = (OVERVIEW, INGEST, SCORER, DELIVERY, QUALITY, RUNTIME, BUSINESS, WORKSPACE)
