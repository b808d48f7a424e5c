"""Leads rather than machines: where they are, what they cross, what becomes of them. All workspaces together."""

from deploy.grafana.asking import gauges, greatest, increases, rate, rates, share, summed
from deploy.grafana.layout import Board, Panel, Query, Row

_MOVES = "leadflow_pipeline_stage_changes_total"
_CROSSINGS = "leadflow_pipeline_threshold_crossings_total"
_NEW = 'from="none"'

BUSINESS = Board(
    "leadflow-business",
    "Leads",
    "Leads by stage and band, thresholds and moves; reports by workspace are in the API.",
    (
        Row(
            "Where leads are",
            (
                Panel(
                    "Leads, by stage",
                    "`none`: not in a pipeline. Beyond thirty stages the smallest are `other`.",
                    "none",
                    gauges("leadflow_pipeline_leads", "stage"),
                    kind="bargauge",
                ),
                Panel(
                    "Leads, by band",
                    "By the band of each score, as it was last told.",
                    "none",
                    gauges("leadflow_pipeline_leads_in_band", "score, band"),
                    kind="bargauge",
                ),
                Panel(
                    "Leads",
                    "All leads that the pipeline knows.",
                    "none",
                    (Query(f"sum({greatest('leadflow_pipeline_leads', 'stage')})", "leads"),),
                    kind="stat",
                    width=4,
                ),
                Panel(
                    "Won",
                    "Share of the leads that left the pipeline, since ever.",
                    "percentunit",
                    (
                        Query(
                            share(
                                greatest("leadflow_pipeline_deals", where='outcome="won"'),
                                summed(greatest("leadflow_pipeline_deals", "outcome", 'outcome!="open"')),
                            ),
                            "won",
                        ),
                    ),
                    kind="stat",
                    width=4,
                    most=1,
                    healthy_when_empty="No lead has left the pipeline yet.",
                ),
            ),
        ),
        Row(
            "What they do",
            (
                Panel(
                    "Thresholds entered",
                    "By threshold; those within a cooldown are not told.",
                    "none",
                    increases(_CROSSINGS, "threshold", 'direction="entered"'),
                    healthy_when_empty="No threshold was ever crossed.",
                ),
                Panel(
                    "Thresholds left",
                    "By threshold.",
                    "none",
                    increases(_CROSSINGS, "threshold", 'direction="left"'),
                    healthy_when_empty="No threshold was ever crossed.",
                ),
                Panel(
                    "Crossings not told",
                    "Share that fell into a cooldown: a threshold that flutters needs a wider hysteresis.",
                    "percentunit",
                    (
                        Query(
                            share(summed(rate(_CROSSINGS, 'outcome="suppressed"')), summed(rate(_CROSSINGS))),
                            "suppressed",
                        ),
                    ),
                    most=1,
                    healthy_when_empty="No threshold was crossed.",
                ),
                Panel(
                    "Entered a stage",
                    "Moves by the stage that they lead to.",
                    "none",
                    increases(_MOVES, "to"),
                ),
                Panel(
                    "Left a stage",
                    "Moves by the stage that they come from.",
                    "none",
                    increases(_MOVES, "from"),
                ),
                Panel(
                    "Deals",
                    "Leads that entered the pipeline, by what became of them.",
                    "none",
                    gauges("leadflow_pipeline_deals", "outcome"),
                    stacked=True,
                ),
                Panel(
                    "Moves for each new lead",
                    "Moves into a stage for each lead that became known in the same time: more than 1 while known "
                    "leads move, too. What becomes of the same leads is told by the funnel of the API.",
                    "none",
                    (
                        Query(
                            f"{summed(rate(_MOVES), 'to')} / scalar({summed(rate(_MOVES, _NEW))} > 0)",
                            "{{to}}",
                        ),
                    ),
                    width=12,
                ),
                Panel(
                    "Moves",
                    "All moves, per second.",
                    "ops",
                    rates(_MOVES, "to"),
                    width=12,
                    stacked=True,
                ),
            ),
        ),
    ),
)
