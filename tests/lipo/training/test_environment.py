from omegaconf import OmegaConf

from lipo.training.environment import join_cluster, on_loopback


def config(**ray_init):
    own = {"ray_kwargs": {"ray_init": ray_init}, "trainer": {"device": "cpu"}}
    created = OmegaConf.create(own)
    OmegaConf.set_struct(created, True)
    return created


def test_declared_resources_mean_a_ray_of_its_own():
    joined = join_cluster(config(num_cpus=16, num_gpus=1), {})
    assert joined.ray_kwargs.ray_init == {
        "num_cpus": 16, "num_gpus": 1, "address": "local", "_node_ip_address": "127.0.0.1"
    }  # fmt: skip
    assert on_loopback(joined, {"A": "b"}) == {"A": "b", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    # Whoever wants to be reached can be.
    elsewhere = join_cluster(config(num_cpus=16, _node_ip_address="10.0.0.1"), {})
    assert elsewhere.ray_kwargs.ray_init._node_ip_address == "10.0.0.1"
    assert on_loopback(elsewhere, {"A": "b"}) == {"A": "b"}


def test_without_a_declaration_ray_decides():
    plain = config(num_cpus=None)
    assert join_cluster(plain, {}) is plain
    assert on_loopback(plain, {}) == {}


def test_local_wins_over_the_environment():
    local = join_cluster(config(num_cpus=16, address="local"), {"RAY_ADDRESS": "10.0.0.1:6379"})
    assert (local.ray_kwargs.ray_init.address, local.ray_kwargs.ray_init._node_ip_address) == ("local", "127.0.0.1")


def test_a_cluster_keeps_its_resources_and_gets_the_environment(monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    environment = {"RAY_ADDRESS": "10.0.0.1:6379", "VERL_PLATFORM": "cpu", "HYDRA_FULL_ERROR": "1", "SECRET": "x"}
    joined = join_cluster(config(num_cpus=16, num_gpus=1, include_dashboard=False), environment)
    assert joined.ray_kwargs.ray_init == {
        "address": "10.0.0.1:6379",
        "runtime_env": {"env_vars": {"VERL_PLATFORM": "cpu"}},
    }
