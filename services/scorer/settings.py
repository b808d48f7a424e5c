"""What can be tuned about the scorer."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.settings import EnvironmentSettings, PositiveSeconds


class ScorerSettings(EnvironmentSettings):
    """How the scorer reads, and how often it looks at the clock."""

    model_config = SettingsConfigDict(env_prefix="LEADFLOW_SCORER_", frozen=True, extra="ignore")

    batch_size: int = Field(500, ge=1, le=5000, description="Events taken from the log per transaction, at most.")
    due_poll_seconds: PositiveSeconds = Field(
        0.5, description="How often leads are looked for whose standing changes by itself."
    )
    due_batch_size: int = Field(100, ge=1, le=1000, description="Such leads per transaction.")
    catch_up_batch_size: int = Field(
        100, ge=1, le=1000, description="Leads per transaction that are recomputed after a model was activated."
    )
    simulation_processes: int = Field(
        1, ge=1, le=64, description="Worker processes of the simulation that is being done; one is done at a time."
    )
    most_model_versions: int = Field(
        10_000, ge=1, description="Published models of a workspace; one more is refused with `too_many_models`."
    )
    most_drafts: int = Field(
        100, ge=1, description="Drafts of models of a workspace; one more is refused with `too_many_drafts`."
    )
    most_waiting_simulations: int = Field(
        10,
        ge=1,
        description="Simulations of a workspace that wait or are being done; one more is refused with"
        " `too_many_simulations`.",
    )
