"""What an MLflow user does with a registry, through the real client, against `bookloop models serve-api`.

Arguments: the API's URL and the tenant. The registry has two versions of `recommender`: 1 in production and approved
by ana, 2 in staging. Prints one line a check; any failure ends the run.
"""

import os
import pathlib
import sys

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

url, tenant = sys.argv[1:]
name = f"{tenant}.recommender"
mlflow.set_tracking_uri(url)
mlflow.set_registry_uri(url)
client = MlflowClient()


def check(what, found, expected):
    assert found == expected, f"{what}: expected {expected!r}, found {found!r}"
    print(f"ok {what}")


def refused(what, code, words, call):
    try:
        found = call()
    except MlflowException as error:
        check(f"{what}: code", error.error_code, code)
        assert words in str(error), f"{what}: expected {words!r} in {error}"
    else:
        raise AssertionError(f"{what}: expected {code}, found {found!r}")


# Lists.
models = client.search_registered_models()
check("all models", [model.name for model in models], [name])
check("the fluent interface", [model.name for model in mlflow.search_registered_models()], [name])
check("by name", [m.name for m in client.search_registered_models(f"name='{name}'")], [name])
check("by pattern", [m.name for m in client.search_registered_models(f"name LIKE '{tenant}.%'")], [name])
check("whatever the case", [m.name for m in client.search_registered_models("name ILIKE '%RECOMM%'")], [name])
check("no such name", list(client.search_registered_models("name='nobody.nothing'")), [])
versions = client.search_model_versions(f"name='{name}'", order_by=["version_number ASC"])
check("versions", [version.version for version in versions], ["1", "2"])
check("newest first", [v.version for v in mlflow.search_model_versions(order_by=["creation_timestamp DESC"])], ["2", "1"])

# Pages.
first = client.search_model_versions(f"name='{name}'", max_results=1, order_by=["version_number DESC"])
check("first page", [version.version for version in first], ["2"])
assert first.token, "first page: expected a token"
second = client.search_model_versions(
    f"name='{name}'", max_results=1, order_by=["version_number DESC"], page_token=first.token
)
check("second page", [version.version for version in second], ["1"])
check("no third page", bool(second.token), False)

# One model.
model = client.get_registered_model(name)
check("aliases", dict(model.aliases), {"production": "1", "staging": "2"})
check("its tags", (model.tags["tenant"], model.tags["model"]), (tenant, "recommender"))
check("latest version of the model", [version.version for version in model.latest_versions], ["2"])
check("times", 0 < model.creation_timestamp <= model.last_updated_timestamp, True)

# One version, by number and by alias.
version = client.get_model_version(name, "1")
by_alias = client.get_model_version_by_alias(name, "production")
check("the alias leads to it", (by_alias.version, by_alias.tags), (version.version, version.tags))
check("who registered it", bool(version.user_id), True)
check("standing", (version.status, version.current_stage, version.aliases), ("READY", "None", ["production"]))
check("no run", version.run_id, None)
check("approved by", version.tags["approved_by"], "ana")
check("active", version.tags["status"], "active")
check("algorithm", bool(version.tags["algorithm"]), True)
metrics = [key for key in version.tags if key.startswith("metric.ndcg_at_")]
assert metrics and 0 <= float(version.tags[metrics[0]]) <= 1, f"metrics: found {version.tags}"
assert version.description, "expected the gate's sentence"
check("not approved", "approved_by" in client.get_model_version(name, "2").tags, False)

# Latest, whichever way a client asks.
check("latest", [v.version for v in client.get_latest_versions(name)], ["2"])
check("latest of stage None", [v.version for v in client.get_latest_versions(name, ["None"])], ["2"])
check("latest of a stage", client.get_latest_versions(name, ["Production"]), [])

# The bytes: where they are, and what a client downloads.
uri = client.get_model_version_download_uri(name, "1")
check("source is the manifest in that folder", version.source, f"{uri}/manifest.json")
folder = mlflow.artifacts.download_artifacts(f"models:/{name}@production")
check("a models URI downloads the manifest", (pathlib.Path(folder) / "manifest.json").is_file(), True)

# What is not there.
missing = "RESOURCE_DOES_NOT_EXIST"
refused("no such model", missing, "nothing", lambda: client.get_registered_model(f"{tenant}.nothing"))
refused("no such tenant", missing, "other.recommender", lambda: client.get_registered_model("other.recommender"))
refused("no such version", missing, "version=9", lambda: client.get_model_version(name, "9"))
refused("no such alias", missing, "best", lambda: client.get_model_version_by_alias(name, "best"))

# What is not understood.
invalid = "INVALID_PARAMETER_VALUE"
refused("filter", invalid, "name LIKE", lambda: client.search_model_versions("run_id='7'"))
refused("filter on tags", invalid, "name LIKE", lambda: client.search_registered_models("tags.owner='ana'"))
refused("order", invalid, "order_by", lambda: client.search_model_versions(order_by=["source ASC"]))
refused("page size", invalid, "1 to 1000", lambda: client.search_registered_models(max_results=5000))
refused("token", invalid, "page_token", lambda: client.search_registered_models(page_token="nonsense"))

# What would change something.
denied = "PERMISSION_DENIED"
refused("create", denied, "bookloop train", lambda: client.create_registered_model("x"))
refused("new version", denied, "bookloop train", lambda: client.create_model_version(name, "file:///x"))
refused("alias", denied, "bookloop models alias", lambda: client.set_registered_model_alias(name, "best", "2"))
refused("no alias", denied, "bookloop models alias", lambda: client.delete_registered_model_alias(name, "staging"))
refused("tag", denied, "manifest", lambda: client.set_model_version_tag(name, "1", "k", "v"))
refused("model tag", denied, "manifest", lambda: client.set_registered_model_tag(name, "k", "v"))
refused("delete", denied, "stays in the log", lambda: client.delete_model_version(name, "1"))
refused("describe", denied, "manifest", lambda: client.update_registered_model(name, "mine"))
check("nothing changed", dict(client.get_registered_model(name).aliases), {"production": "1", "staging": "2"})
print("all checks passed")
