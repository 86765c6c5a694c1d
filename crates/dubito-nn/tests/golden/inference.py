"""Makes inference.json: Gaussian layers and their divergence as bayesian-torch has them, a last layer's Laplace
approximation as laplace-torch has it, SWAG as torch-uncertainty has it, and what none of these packages has, written
down in PyTorch.

    pip install torch numpy bayesian-torch laplace-torch backpack-for-pytorch torch-uncertainty lightning rich
    python inference.py

Numbers are formulas of names, as in resnet.py; bayesian-torch draws its noise by `normal_` and `uniform_`, which are
replaced by such formulas here, signs being the same in all places of a map (Wen et al. 2018). Everything is float64.
"""

import importlib.metadata
import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from bayesian_torch import layers
from bayesian_torch.utils.util import get_rho
from laplace import Laplace
from laplace.curvature import BackPackGGN
from torch.utils.data import DataLoader, TensorDataset
from torch_uncertainty.methods.swag import SWAG

from resnet import formula

torch.set_default_dtype(torch.float64)


def tensor(name, *shape, scale=1.0, offset=0.0):
    return torch.from_numpy(offset + scale * formula(name, int(np.prod(shape))).reshape(shape))


def sign(name, items, channels, like):
    values = torch.where(tensor(name, items, channels) < 0, -1.0, 1.0)
    return values.reshape(items, channels, *[1] * (like.dim() - 2)).expand_as(like)


class Queue:
    """Replaces a random fill by what is next in a list."""

    def __init__(self, name, values):
        self.name, self.values = name, list(values)

    def __enter__(self):
        self.old = getattr(torch.Tensor, self.name)
        queue = self.values

        def fill(this, *_):
            return this.copy_(queue.pop(0)(this))

        setattr(torch.Tensor, self.name, fill)

    def __exit__(self, *_):
        setattr(torch.Tensor, self.name, self.old)
        assert not self.values


def gaussian_layer(kind, x, weight_shape):
    """One layer with formula means, deviations and noise: outputs and divergences."""
    out, items = weight_shape[0], x.shape[0]
    arrays = {
        "mean": tensor(f"{kind}.weight", *weight_shape),
        "rho": tensor(f"{kind}.weight.rho", *weight_shape, scale=2.0, offset=-2.0),
        "bias": tensor(f"{kind}.bias", out),
        "bias_rho": tensor(f"{kind}.bias.rho", out, scale=2.0, offset=-2.0),
    }
    noise = [tensor(f"{kind}.eps", *weight_shape, scale=3.0), tensor(f"{kind}.bias.eps", out, scale=3.0)]
    result = {}
    for estimator in ["Reparameterization", "Flipout"]:
        if kind == "linear":
            layer = getattr(layers, "Linear" + estimator)(weight_shape[1], out)
            names = ["mu_weight", "rho_weight", "mu_bias", "rho_bias"]
        else:
            layer = getattr(layers, "Conv2d" + estimator)(weight_shape[1], out, 3, stride=1, padding=1)
            names = ["mu_kernel", "rho_kernel", "mu_bias", "rho_bias"]
        layer = layer.double()
        for name, value in zip(names, arrays.values()):
            getattr(layer, name).data = value
        signs = [lambda t: sign(f"{kind}.in", items, x.shape[1], t), lambda t: sign(f"{kind}.out", items, out, t)]
        signs = signs if estimator == "Flipout" else []
        with Queue("normal_", [lambda t, n=n: n for n in noise]), Queue("uniform_", signs):
            result[estimator.lower()] = layer(x, return_kl=False).tolist()
    # The mean over the weights of each array, summed; then the sums over the weights.
    result["layer_mean"] = layer.kl_loss().item()

    def divergence(prior_means, prior_sigmas):
        sums = 0.0
        for mean, rho, m, s in zip([arrays["mean"], arrays["bias"]], [arrays["rho"], arrays["bias_rho"]], prior_means, prior_sigmas):
            s = s if torch.is_tensor(s) else torch.full_like(mean, s)
            sums += layer.kl_div(mean, F.softplus(rho), m, s).item() * mean.numel()
        return sums

    begin = [arrays["mean"] * 0.9, arrays["bias"] * 0.9]
    result["divergence"] = {
        "zero": divergence([0.0, 0.0], [0.3, 0.3]),
        "moped": divergence(begin, [0.2 * b.abs() + 0.01 for b in begin]),
    }
    # Local reparameterisation (Kingma et al. 2015), of which bayesian-torch has none: mean and deviation of each output.
    op = (lambda x, w, b: F.linear(x, w, b)) if kind == "linear" else (lambda x, w, b: F.conv2d(x, w, b, padding=1))
    sigma, bias_sigma = F.softplus(arrays["rho"]), F.softplus(arrays["bias_rho"])
    result["local"] = {
        "mean": op(x, arrays["mean"], arrays["bias"]).tolist(),
        "deviation": op(x**2, sigma**2, bias_sigma**2).sqrt().tolist(),
    }
    return result


def laplace(structure, features, labels, linear, precisions, test):
    """A linear layer on features, which is what a last layer is."""
    loader = DataLoader(TensorDataset(features, labels), batch_size=len(labels))
    la = Laplace(linear, "classification", "all", structure, backend=BackPackGGN)
    la.fit(loader)
    result = {"log_evidence": [la.log_marginal_likelihood(torch.tensor([p])).item() for p in precisions]}
    la.prior_precision = torch.tensor([precisions[1]])
    mean, variance = la._glm_predictive_distribution(test)
    result["logit_variance"] = variance.diagonal(dim1=1, dim2=2).tolist()
    result["logits"] = mean.tolist()
    result["probit"] = la(test, pred_type="glm", link_approx="probit").tolist()
    return result


def swag():
    """One layer through six epochs, of which four directions are kept; one of its samples. (torch-uncertainty draws the
    shared normals for each array anew, so of two arrays this would not be the paper's Gaussian.)"""
    net = torch.nn.Linear(4, 2, bias=False)
    wrapper = SWAG(net, 0, 1, scale=0.5, max_num_models=4, var_clamp=1e-30, num_estimators=1)
    for epoch in range(6):
        net.weight.data = tensor(f"swag {epoch}", 2, 4)
        wrapper.update_wrapper(epoch + 1)
    stats = {key.removeprefix(wrapper.prfx): value for key, value in wrapper.swag_stats.items()}
    z, shared = tensor("swag z", 2, 4, scale=3.0), tensor("swag shared", 4, scale=3.0)
    old = torch.randn_like, torch.randn
    torch.randn_like, torch.randn = lambda t, **_: z, lambda _: shared
    sample = wrapper.sample(0.5).weight.data
    torch.randn_like, torch.randn = old
    mean = stats["weight_mean"]
    return {
        "mean": mean.tolist(),
        "deviation": (stats["weight_sq_mean"] - mean**2).sqrt().tolist(),
        "away": stats["weight_covariance_sqrt"].tolist(),
        "sample": sample.tolist(),
    }


if __name__ == "__main__":
    packages = ["torch", "bayesian-torch", "laplace-torch", "backpack-for-pytorch", "torch-uncertainty"]
    out = {package: importlib.metadata.version(package).split("+")[0] for package in packages}
    out["linear"] = gaussian_layer("linear", tensor("x", 4, 6, scale=4.0), (3, 6))
    out["convolution"] = gaussian_layer("convolution", tensor("map", 2, 2, 5, 4, scale=4.0), (3, 2, 3, 3))

    weights = tensor("moped", 40)
    out["moped"] = {"delta": 0.2, "rho": get_rho(weights, 0.2).tolist()}

    items, width, classes, precisions = 60, 5, 3, [0.01, 1.0, 30.0]
    features = tensor("features", items, width, scale=3.0)
    linear = torch.nn.Linear(width, classes)
    linear.weight.data = tensor("last.weight", classes, width, scale=2.0)
    linear.bias.data = tensor("last.bias", classes)
    labels = ((linear(features) + tensor("labels", items, classes, scale=4.0)).argmax(1)).long()
    test = tensor("test", 4, width, scale=3.0)
    out["laplace"] = {"labels": labels.tolist(), "precisions": precisions}
    for structure in ["full", "kron", "diag"]:
        out["laplace"][structure] = laplace(structure, features, labels, linear, precisions, test)

    out["swag"] = swag()

    path = pathlib.Path(__file__).with_name("inference.json")
    path.write_text(json.dumps(out) + "\n")
    print(path, path.stat().st_size, "bytes", {k: out["laplace"][k]["log_evidence"] for k in ["full", "kron", "diag"]})
