#!/usr/bin/env python3
"""Says what must be true of what is deployed, beyond being well-formed. Ends with 1 and the reasons if something is not.

    assertions.py k8s OVERLAY RENDERED.yaml     what `kubectl kustomize` made
    assertions.py compose FILE.yaml
    assertions.py aws TEMPLATE.yaml
    assertions.py licences METADATA.json        of `cargo metadata`: licences by deny.toml, no newer Rust than ours
"""
import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
wrong = []


def must(true, what):
    if not true:
        wrong.append(what)


def seconds(text):
    amount, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()
    return int(amount) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def documented_rules(name):
    """The rules of an ACL user in docs/security.md, as a set of words."""
    text = (ROOT / "docs/security.md").read_text()
    return set(re.search(rf"^```acl {name}\n(.*?)^```", text, re.M | re.S).group(1).split())


# ---- Kubernetes ------------------------------------------------------------------------------------------------------


def of_kind(objects, kind):
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def check_pod(name, pod, grace):
    must(pod.get("enableServiceLinks") is False, f"{name}: enableServiceLinks must be false")
    must(pod.get("automountServiceAccountToken") is False, f"{name}: needs no token of the cluster")
    must(pod["serviceAccountName"] == name, f"{name}: needs a service account of its own")
    context = pod["securityContext"]
    must(context.get("runAsNonRoot") is True and context.get("runAsUser", 0) > 0, f"{name}: must not be root")
    must(context.get("seccompProfile") == {"type": "RuntimeDefault"}, f"{name}: seccomp is missing")
    for container in pod["containers"]:
        own = container["securityContext"]
        must(own["allowPrivilegeEscalation"] is False, f"{name}: may escalate")
        must(own["readOnlyRootFilesystem"] is True, f"{name}: may write to its image")
        must(own["capabilities"] == {"drop": ["ALL"]}, f"{name}: keeps capabilities")
        must("memory" in container["resources"]["limits"], f"{name}: may take all memory")
        must({"cpu", "memory"} <= set(container["resources"]["requests"]), f"{name}: asks for nothing")
        must(":" in container["image"].rsplit("/", 1)[-1] or name_is_bare(container["image"]), f"{name}: image without tag")
        if name == "redis":
            continue
        check_node(name, container, pod, grace)


def name_is_bare(image):
    """The base leaves tags to overlays."""
    return image in ("rachis", "rachis-todo")


def check_node(name, container, pod, grace):
    env = {one["name"]: one.get("value") for one in container["env"]}
    must("DISTRIBUTION_APP" in env, f"{name}: programs must not share a queue by accident")
    for variable in env:
        secret = re.search(r"PASSWORD|SECRET|REDIS_URL", variable)
        must(not secret or variable.endswith("_FILE"), f"{name}: {variable} belongs into a file")
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    for variable, value in env.items():
        if variable.endswith("_FILE"):
            must(str(Path(value).parent) in mounted, f"{name}: nothing is mounted for {variable}")
    must("/etc/rachis" in mounted, f"{name}: reads no distribution.toml")
    must(container["livenessProbe"]["httpGet"]["path"] == "/livez", f"{name}: liveness must know nothing of Redis")
    must(container["readinessProbe"]["httpGet"]["path"] == "/readyz", f"{name}: readiness is /readyz")
    if name == "gateway":
        must(container["startupProbe"]["httpGet"]["path"] == "/livez", f"{name}: killed while Redis is away")
        must("--connect-timeout" in container["args"], f"{name}: ends while Redis is away")
    pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    whole = pod["terminationGracePeriodSeconds"]
    must(pause + grace < whole, f"{name}: preStop {pause} s and grace {grace} s do not fit into {whole} s")
    if name == "gateway":
        must(pause >= 5, f"{name}: load balancers need a moment before it stops listening")


def check_k8s(overlay, objects):
    deployments = of_kind(objects, "Deployment")
    must({"gateway", "todos"} <= set(deployments), "gateway and todos are missing")
    configs = [one for one in of_kind(objects, "ConfigMap").values() if "distribution.toml" in one["data"]]
    must(len(configs) == 1, "one ConfigMap has distribution.toml")
    config, config_name = tomllib.loads(configs[0]["data"]["distribution.toml"]), configs[0]["metadata"]["name"]
    must(re.fullmatch(r"rachis-\w{10}", config_name), "the ConfigMap needs a hash, so that changes roll the pods")
    grace = seconds(config["shutdown"]["grace"])
    pdbs, hpas = of_kind(objects, "PodDisruptionBudget"), of_kind(objects, "HorizontalPodAutoscaler")
    scaled = of_kind(objects, "ScaledObject")
    accounts = of_kind(objects, "ServiceAccount")
    for name, deployment in deployments.items():
        spec = deployment["spec"]
        pod = spec["template"]["spec"]
        check_pod(name, pod, grace)
        must(name in accounts, f"{name}: the service account is missing")
        if name == "redis":
            continue
        must(spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}, f"{name}: rolls with gaps")
        must("replicas" not in spec, f"{name}: replicas would fight with the autoscaler")
        must((name in hpas) != (name in scaled), f"{name}: wants one autoscaler, not none and not two")
        must(name in pdbs, f"{name}: all of it may be drained at once")
        must(len(pod.get("topologySpreadConstraints", [])) == 2, f"{name}: may end up on one node")
        must(any(v.get("configMap", {}).get("name") == config_name for v in pod["volumes"]), f"{name}: has another config")
    policies = of_kind(objects, "NetworkPolicy")
    must(policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}, "default-deny denies")
    namespace = next(iter(of_kind(objects, "Namespace").values()))
    must(namespace["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") == "restricted", "restricted pods only")
    must(namespace["metadata"]["name"] != "distribution", "its services would inject DISTRIBUTION_ variables")
    must("distribution" not in of_kind(objects, "Service"), "a Service of that name injects DISTRIBUTION_ variables")
    CHECKS[overlay](objects, deployments, policies, hpas, scaled)


def check_base(*_):
    pass


def check_dev(objects, deployments, policies, hpas, _):
    must("redis" in deployments, "dev: brings a Redis of its own")
    must(hpas["todos"]["spec"]["minReplicas"] == 1, "dev: one replica is enough")
    must("to" in policies["nodes-to-redis"]["spec"]["egress"][0], "dev: Redis alone can be reached")
    names = {v["secret"]["secretName"] for d in deployments.values() for v in d["spec"]["template"]["spec"]["volumes"] if "secret" in v}
    must(names == set(of_kind(objects, "Secret")), f"dev: every secret is there under its hashed name: {names}")


def check_prod(objects, deployments, policies, hpas, scaled):
    for name in ("gateway", "todos"):
        lowest = hpas[name]["spec"]["minReplicas"] if name in hpas else scaled[name]["spec"]["minReplicaCount"]
        must(lowest >= 3, f"prod: {name} needs a replica in each of three zones")
        zones = deployments[name]["spec"]["template"]["spec"]["topologySpreadConstraints"][0]
        must(zones["whenUnsatisfiable"] == "DoNotSchedule", f"prod: {name} may end up in one zone")
    env = {one["name"] for one in deployments["gateway"]["spec"]["template"]["spec"]["containers"][0]["env"]}
    must("JWT_SECRET_FILE" in env, "prod: clients must log in")
    must("from" in policies["clients-to-gateway"]["spec"]["ingress"][0], "prod: only by the load balancer")
    must(not of_kind(objects, "Secret"), "prod: secrets do not belong into a repository")
    must("gateway" in of_kind(objects, "Ingress"), "prod: has an Ingress")


def check_eks(objects, deployments, policies, hpas, scaled):
    check_prod(objects, deployments, policies, hpas, scaled)
    secret = of_kind(objects, "ExternalSecret")["rachis"]["spec"]
    must({one["secretKey"] for one in secret["data"]} == {"redis_url", "mesh_secret", "jwt_secret"}, "eks: secrets")
    must(secret["target"]["name"] == "rachis", "eks: the secret has another name than the pods look for")
    store = of_kind(objects, "SecretStore")["rachis"]["spec"]["provider"]["aws"]["auth"]["jwt"]["serviceAccountRef"]["name"]
    role = of_kind(objects, "ServiceAccount")[store]["metadata"]["annotations"].get("eks.amazonaws.com/role-arn", "")
    must(role.startswith("arn:aws:iam::"), "eks: no role for the secrets (IRSA)")
    notes = of_kind(objects, "Ingress")["gateway"]["metadata"]["annotations"]
    must(not any(key.startswith("nginx") for key in notes), "eks: annotations for another controller")
    must(notes["alb.ingress.kubernetes.io/healthcheck-path"] == "/readyz", "eks: the balancer asks /readyz")
    delay = int(re.search(r"deregistration_delay.timeout_seconds=(\d+)", notes["alb.ingress.kubernetes.io/target-group-attributes"])[1])
    pause = deployments["gateway"]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    must(pause >= delay, f"eks: stops listening after {pause} s, while the balancer still sends for {delay} s")
    triggers = scaled["todos"]["spec"]["triggers"]
    text = " ".join(one["metadata"]["query"] for one in triggers)
    must("rachis_queue_depth" in text and "rachis_queue_age_seconds" in text, "eks: scales by depth and age")
    must(all(one["type"] == "prometheus" for one in triggers), "eks: the lag of a stream's group is nil after deletes")
    check_monitoring(objects, deployments)


def check_monitoring(objects, deployments):
    ports = {p["name"]: p["containerPort"] for d in deployments.values() for p in d["spec"]["template"]["spec"]["containers"][0]["ports"]}
    monitor = of_kind(objects, "PodMonitor")["rachis"]["spec"]
    for end in monitor["podMetricsEndpoints"]:
        must(end["port"] in ports, f"monitoring: no pod has a port {end['port']}")
    rules = of_kind(objects, "PrometheusRule")["rachis"]["spec"]
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        must({"summary", "action"} <= set(rule["annotations"]), f"monitoring: {rule['alert']} does not say what to do")


CHECKS = {"base": check_base, "dev": check_dev, "prod": check_prod, "eks": check_eks}


# ---- Compose and AWS -------------------------------------------------------------------------------------------------


def check_compose(path, text):
    whole = yaml.safe_load(text)
    services = whole["services"]
    must(whole["networks"]["mesh"] == {"internal": True}, "the network of the mesh must be internal")
    for name, service in services.items():
        must(service.get("read_only") is True, f"{name}: may write to its image")
        must(service.get("cap_drop") == ["ALL"], f"{name}: keeps capabilities")
        must(name == "gateway" or service["networks"] == ["mesh"], f"{name}: can be reached from outside")
        must(name == "gateway" or "ports" not in service, f"{name}: publishes a port")
        for variable in service.get("environment", {}):
            if re.search(r"PASSWORD|SECRET", variable):
                must(variable.endswith("_FILE"), f"{name}: {variable} belongs into a file")
    gateway = services["gateway"]
    must(all(str(port).startswith("127.0.0.1:") for port in gateway["ports"]), "the gateway listens on this machine alone")
    must("depends_on" in gateway, "the gateway waits until Redis is healthy")
    node = services.get("todos") or services["greetings"]
    replicas = [one for name, one in services.items() if name == "greetings-js"] + [node]
    must(sum(one.get("deploy", {}).get("replicas", 1) for one in replicas) == 2, "two replicas")
    for service in (gateway, *replicas):
        must(seconds(service["stop_grace_period"]) > 10, "killed before shutdown.grace is over")
    if path.name == "compose.yaml":
        must("secrets" in gateway and "secrets" in node, "secrets come from files")


class Template(yaml.SafeLoader):
    """YAML with the short forms of CloudFormation."""


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    return {suffix: loader.construct_mapping(node, deep=True)}


Template.add_multi_constructor("!", short_form)


def check_aws(path, text):
    resources = yaml.load(text, Template)["Resources"]
    rules = set(resources["MeshUser"]["Properties"]["AccessString"].split())
    missing = {word for word in documented_rules("mesh") if word not in ("reset", ">PASSWORD")} - rules
    must(not missing, f"the ACL user lacks rules of docs/security.md: {sorted(missing)}")
    cache = resources["Redis"]["Properties"]
    must(cache["TransitEncryptionEnabled"] is True and cache["AtRestEncryptionEnabled"] is True, "Redis without TLS")
    must(resources["RedisParameters"]["Properties"]["Properties"]["maxmemory-policy"] == "noeviction", "Redis would evict")
    health = {}
    for name in ("GatewayTask", "ServiceTask"):
        container = resources[name]["Properties"]["ContainerDefinitions"][0]
        env = {one["Name"]: one["Value"] for one in container["Environment"]}
        leaving = seconds(env["DISTRIBUTION__SHUTDOWN__GRACE"]) + seconds(env.get("DISTRIBUTION__SHUTDOWN__DELAY", "0s"))
        must(container["StopTimeout"] > leaving + 5, f"{name}: killed while it drains")
        must(container["StopTimeout"] <= 120, f"{name}: Fargate waits 120 s at most")
        must(container["ReadonlyRootFilesystem"] is True and container["User"] == "65532:65532", f"{name}: may do too much")
        must(not any(re.search("PASSWORD|SECRET", variable) for variable in env), f"{name}: a secret stands in the open")
        health[name] = (container["HealthCheck"]["Command"], env.get("METRICS_LISTEN", ""))
    ask = ["CMD", "/usr/local/bin/rachis", "health"]
    must(health["GatewayTask"] == (ask, ""), "the gateway is asked by `rachis health`")
    must(health["ServiceTask"] == ([*ask, "http://127.0.0.1:9464"], "[::]:9464"), "the service is asked where it tells its counters")
    must(resources["Gateways"]["Properties"]["HealthCheckPath"] == "/readyz", "the balancer asks /readyz")


# ---- Licences --------------------------------------------------------------------------------------------------------


def allowed(expression, licences):
    """Whether an SPDX expression can be met; AND binds closer than OR, as in SPDX."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def term():
        nonlocal position
        word = words[position]
        position += 1
        if word == "(":
            inner = either()
            position += 1
            return inner
        while position < len(words) and words[position] == "WITH":
            word += f" WITH {words[position + 1]}"
            position += 2
        return word in licences

    def both():
        nonlocal position
        result = term()
        while position < len(words) and words[position] == "AND":
            position += 1
            result = term() and result
        return result

    def either():
        nonlocal position
        result = both()
        while position < len(words) and words[position] == "OR":
            position += 1
            result = both() or result
        return result

    return either()


def version(text):
    return tuple(int(part) for part in f"{text}.0.0".split(".")[:3])


def check_licences(path, text):
    licences = set(tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]["allow"])
    packages = json.loads(text)["packages"]
    ours = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["rust-version"]
    must(len(packages) > 100, "that is not the whole graph")
    for one in packages:
        must(allowed(one["license"] or "none", licences), f"{one['name']} {one['version']}: {one['license']}")
        must(one["source"] is None or one["source"].startswith("registry+"), f"{one['name']}: not from a registry")
        needs = one["rust_version"] or "1.0"
        must(version(needs) <= version(ours), f"{one['name']} {one['version']} needs Rust {needs}, not {ours}")


def main():
    kind, *rest = sys.argv[1:]
    path = Path(rest[-1])
    text = path.read_text()
    if kind == "k8s":
        check_k8s(rest[0], [one for one in yaml.safe_load_all(text) if one])
    else:
        {"compose": check_compose, "aws": check_aws, "licences": check_licences}[kind](path, text)
    for one in wrong:
        print(f"{path.name}: {one}", file=sys.stderr)
    sys.exit(1 if wrong else 0)


main()
