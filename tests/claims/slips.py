"""Slips: one wrong line each, put into the library in memory, never on the disk.

A slip replaces a piece of source that occurs exactly once in its module. So it cannot silently miss
its place when the library changes: putting it there fails, and a test says so.
"""

from __future__ import annotations

import ast
import gc
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

BOOK = Path(__file__).parents[2] / "book"


@dataclass(frozen=True)
class Slip:
    """One wrong line.

    Attributes:
        name: What is wrong, in a few words.
        module: Module below ``aevb_lib`` that it is in; or the name of the notebook that defines by
            hand what it teaches.
        right: Piece of its source, which occurs once.
        wrong: What stands there instead.
    """

    name: str
    module: str
    right: str
    wrong: str

    @property
    def is_of_a_chapter(self) -> bool:
        """Whether it is in the code of a chapter or an appendix."""
        return (BOOK / f"{self.module}.ipynb").exists()

    def concerns(self, chapter: str) -> bool:
        """Whether a chapter could run its line: it is in the library, or in that chapter."""
        return self.module == chapter or not self.is_of_a_chapter

    @property
    def path(self) -> Path:
        """File of the module."""
        spec = importlib.util.find_spec("aevb_lib")
        assert spec is not None and spec.origin is not None
        path = Path(spec.origin).parent.joinpath(*self.module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def applied_to(self, source: str) -> str:
        """Return the module's source with the slip.

        Raises:
            LookupError: If the place is not there, or there twice.
        """
        if source.count(self.right) != 1:
            raise LookupError(f"{self.name!r}: {source.count(self.right)} places in {self.module}")
        return source.replace(self.right, self.wrong)

    def function(self) -> tuple[str, int] | None:
        """Return file and first line of the function that it is in, as its code object has them.

        None if it is in no function: then whoever imports the module meets it.
        """
        source = self.path.read_text(encoding="utf-8")
        line = source[: source.index(self.right)].count("\n") + 1
        line += len(self.right) - len(self.right.lstrip("\n"))
        around = [
            node
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
        ]
        if not around:
            return None
        innermost = max(around, key=lambda node: node.lineno)
        first = min([innermost.lineno, *(d.lineno for d in innermost.decorator_list)])
        return str(self.path), first


def install(slip: Slip) -> None:
    """Put a slip into the library of this process, whether its module is imported already or not.

    Raises:
        LookupError: If its place is not there, or there twice.
        RuntimeError: If the module is imported and none of its functions changes by the slip.
    """
    if f"aevb_lib.{slip.module}" not in sys.modules:
        sys.meta_path.insert(0, _Finder(slip))
        return
    source, path = slip.path.read_text(encoding="utf-8"), str(slip.path)
    right = _codes(compile(source, path, "exec", dont_inherit=True))
    wrong = _codes(compile(slip.applied_to(source), path, "exec", dont_inherit=True))
    new = {
        (code.co_qualname, code.co_firstlineno): wrong[place]
        for place, code in right.items()
        if _says(code) != _says(wrong[place])
    }
    changed = 0
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == path:
            code = function.__code__
            if (code.co_qualname, code.co_firstlineno) in new:
                function.__code__ = new[code.co_qualname, code.co_firstlineno]
                changed += 1
    if not changed:
        raise RuntimeError(f"{slip.name!r} changes no function of {slip.module}")


def _codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Return the code objects inside one, by their name and their place among those of the name."""
    found: dict[tuple[str, int], CodeType] = {}
    waiting = [code]
    while waiting:
        inner = [part for part in waiting.pop(0).co_consts if isinstance(part, CodeType)]
        for part in inner:
            place = sum(name == part.co_qualname for name, _ in found)
            found[part.co_qualname, place] = part
        waiting += inner
    return found


def _says(code: CodeType) -> tuple[Any, ...]:
    """Return what a code object does, without the lines that it stands on."""
    constants = tuple(_says(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return code.co_code, repr(constants), code.co_names, code.co_varnames, code.co_freevars


class _Finder(MetaPathFinder):
    def __init__(self, slip: Slip) -> None:
        self.slip = slip

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != f"aevb_lib.{self.slip.module}":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self.slip)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, slip: Slip) -> None:
        super().__init__(fullname, path)
        self.slip = slip

    def get_code(self, fullname: str) -> CodeType:
        # Not the inherited one, which would read and write compiled files of the right source.
        path = self.get_filename(fullname)
        source = self.get_data(path).decode("utf-8")
        code: Any = compile(self.slip.applied_to(source), path, "exec", dont_inherit=True)
        return code


SLIPS = (
    # --- the divergence
    Slip(
        "KL term with the wrong sign",
        "objectives",
        "kl = kl_divergence(q, model.prior())\n    return Bound(log_likelihood - kl,",
        "kl = kl_divergence(q, model.prior())\n    return Bound(log_likelihood + kl,",
    ),
    Slip(
        "KL term twice (β = 2)",
        "objectives",
        "kl = kl_divergence(q, model.prior())\n",
        "kl = 2 * kl_divergence(q, model.prior())\n",
    ),
    Slip(
        "KL term left out",
        "objectives",
        "kl = kl_divergence(q, model.prior())\n",
        "kl = 0 * kl_divergence(q, model.prior())\n",
    ),
    Slip(
        "KL without its ½",
        "distributions",
        "(0.5 * squares - sigma.log() - 0.5).sum(-1)",
        "(squares - 2 * sigma.log() - 1.0).sum(-1)",
    ),
    Slip(
        "σ for σ² in the KL",
        "distributions",
        "torch.addcmul(sigma * sigma, mu, mu)",
        "torch.addcmul(sigma, mu, mu)",
    ),
    Slip(
        "σ⁴ for σ² in the KL",
        "distributions",
        "torch.addcmul(sigma * sigma, mu, mu)",
        "torch.addcmul(sigma**4, mu, mu)",
    ),
    Slip(
        "log σ² for log σ in the KL",
        "distributions",
        "(0.5 * squares - sigma.log() - 0.5).sum(-1)",
        "(0.5 * squares - 2 * sigma.log() - 0.5).sum(-1)",
    ),
    Slip(
        "KL without its 1",
        "distributions",
        "(0.5 * squares - sigma.log() - 0.5).sum(-1)",
        "(0.5 * squares - sigma.log()).sum(-1)",
    ),
    Slip(
        "KL averaged over dimensions, not summed",
        "distributions",
        "(0.5 * squares - sigma.log() - 0.5).sum(-1)",
        "(0.5 * squares - sigma.log() - 0.5).mean(-1)",
    ),
    Slip(
        "KL with p and q exchanged",
        "distributions",
        "    return torch.distributions.kl_divergence(q, p)",
        "    return torch.distributions.kl_divergence(\n"
        "        Independent(p.base_dist.expand(q.mean.shape), 1), Independent(q.base_dist, 1)\n"
        "    )",
    ),
    # --- the sample
    Slip(
        "log-variance read as log σ",
        "networks",
        "(0.5 * log_variance).exp()",
        "log_variance.exp()",
    ),
    Slip(
        "posterior mean for a sample",
        "distributions",
        "return torch.addcmul(loc, scale, noise)",
        "return torch.addcmul(loc, scale, 0 * noise)",
    ),
    Slip(
        "the same noise every time",
        "distributions",
        "noise = torch.randn((*sample_shape, *loc.shape), dtype=loc.dtype, device=loc.device)",
        "noise = torch.randn(\n"
        "            (*sample_shape, *loc.shape), generator=torch.Generator().manual_seed(7)\n"
        "        ).to(loc)",
    ),
    Slip(
        "one draw of noise for all L samples",
        "distributions",
        "return torch.addcmul(loc, scale, noise)",
        "return torch.addcmul(loc, scale, noise[:1].expand_as(noise) if sample_shape else noise)",
    ),
    Slip(
        "noise uniform, not normal, of the same variance",
        "distributions",
        "noise = torch.randn((*sample_shape, *loc.shape), dtype=loc.dtype, device=loc.device)",
        "noise = torch.rand((*sample_shape, *loc.shape), dtype=loc.dtype, device=loc.device)\n"
        "        noise = (noise - 0.5) * 12**0.5",
    ),
    Slip(
        "gradient through the sample cut off",
        "distributions",
        "return torch.addcmul(loc, scale, noise)",
        "return torch.addcmul(loc, scale, noise).detach()",
    ),
    Slip(
        "σ without its gradient",
        "distributions",
        "return torch.addcmul(loc, scale, noise)",
        "return torch.addcmul(loc, scale.detach(), noise)",
    ),
    # --- the likelihood and the estimators
    Slip(
        "mean over pixels",
        "distributions",
        "(value * logits).sum(-1) - softplus(logits).sum(-1)",
        "(value * logits).mean(-1) - softplus(logits).mean(-1)",
    ),
    Slip(
        "images inverted in the likelihood",
        "distributions",
        "(value * logits).sum(-1) - softplus(logits).sum(-1)",
        "((1 - value) * logits).sum(-1) - softplus(logits).sum(-1)",
    ),
    Slip(
        "samples averaged outside the logarithm",
        "distributions",
        "return torch.logsumexp(values, dim) - math.log(values.shape[dim])",
        "return values.mean(dim)",
    ),
    Slip(
        "sum over samples for their mean",
        "distributions",
        "return torch.logsumexp(values, dim) - math.log(values.shape[dim])",
        "return torch.logsumexp(values, dim)",
    ),
    Slip(
        "estimator A without the prior",
        "objectives",
        "kl = (q.log_prob(z) - model.prior().log_prob(z)).mean(0)",
        "kl = q.log_prob(z).mean(0)",
    ),
    Slip(
        "IWAE's weights without the prior",
        "objectives",
        "log_weights = log_likelihoods + model.prior().log_prob(z) - q.log_prob(z)",
        "log_weights = log_likelihoods - q.log_prob(z)",
    ),
    Slip(
        "importance weights upside down",
        "evidence.importance",
        "log_weights = model.log_joint(x, z) - q.log_prob(z)",
        "log_weights = q.log_prob(z) - model.log_joint(x, z)",
    ),
    Slip(
        "log p(x, z) without the prior",
        "models",
        "self.prior().log_prob(z) + self.likelihood(z).log_prob(x)",
        "self.likelihood(z).log_prob(x)",
    ),
    Slip(
        "bound measured at the mean code",
        "evaluation",
        "torch.stack(sgvb_b(model, batch.images, num_samples)).cpu().double().sum(1)",
        "(sgvb_b(model, batch.images, num_samples)[0] * 0 + point_log_likelihood(\n"
        "                model, batch.images) - sgvb_b(model, batch.images).kl\n"
        "            ).expand(3, -1).cpu().double().sum(1)",
    ),
    Slip(
        "continuous Bernoulli without its normalizer",
        "continuous_bernoulli",
        "(value * logits).sum(-1) - _log_partition(logits).sum(-1)",
        "(value * logits).sum(-1) - torch.nn.functional.softplus(logits).sum(-1)",
    ),
    Slip(
        "normalizer without its factor two",
        "continuous_bernoulli",
        "a.abs().log() - (a.abs() / 2).tanh().log()",
        "a.abs().log() - a.abs().tanh().log()",
    ),
    Slip(
        "variance for a scale of pixels",
        "networks",
        "diagonal_normal(loc, (0.5 * self.log_variance).exp().expand_as(loc))",
        "diagonal_normal(loc, self.log_variance.exp().expand_as(loc))",
    ),
    Slip(
        "bits per dimension in nats",
        "evaluation",
        "log_density / (num_pixels * math.log(2))",
        "log_density / num_pixels",
    ),
    # --- training
    Slip(
        "gradient with the wrong sign",
        "ascent",
        "torch.full_like(part, -1.0)",
        "torch.full_like(part, 1.0)",
    ),
    Slip(
        "gradient a thousandth of its size",
        "ascent",
        "torch.full_like(part, -1.0)",
        "torch.full_like(part, -1e-3)",
    ),
    Slip(
        "gradients never cleared",
        "ascent",
        "    optimizer.zero_grad()\n    for part",
        "    for part",
    ),
    Slip(
        "initial weights twice as large",
        "networks",
        "limit = 1 / math.sqrt(fan_in)",
        "limit = 2 / math.sqrt(fan_in)",
    ),
    Slip(
        "wake phase that trains the encoder as well",
        "objectives",
        "    with torch.no_grad():\n        z = model.posterior(x).sample()",
        "    with torch.enable_grad():\n        z = model.posterior(x).rsample()",
    ),
    Slip(
        "dreams that are means, not draws",
        "objectives",
        "x = model.likelihood(z).sample()",
        "x = model.likelihood(z).mean",
    ),
    Slip(
        "chains that never move",
        "inference.monte_carlo_em",
        "self.codes.scatter_(-2, chains, state.position)",
        "self.codes.scatter_(-2, chains, self.codes.gather(-2, chains))",
    ),
    # --- Hamiltonian Monte Carlo
    Slip(
        "an acceptance that is always one",
        "hmc",
        "acceptance = (-energy_error).exp().clamp(max=1.0)",
        "acceptance = (-energy_error).exp().clamp(min=1.0, max=1.0)",
    ),
    Slip(
        "leapfrog without its last half step",
        "hmc",
        "share = 1.0 if number < num_leapfrog - 1 else 0.5",
        "share = 1.0",
    ),
    Slip(
        "momentum of half the variance",
        "hmc",
        "torch.empty_like(state.position).normal_(generator=generator)",
        "0.5**0.5 * torch.empty_like(state.position).normal_(generator=generator)",
    ),
    Slip(
        "annealing that stops before the posterior",
        "evidence.ais",
        "betas: list[float] = ((sigmoid - sigmoid[0])",
        "betas: list[float] = 0.9 * ((sigmoid - sigmoid[0])",
    ),
    Slip(
        "reverse annealing that forgets its sign",
        "evidence.ais",
        "values.append(-log_mean_exp(-path.reverse_log_weights(step_sizes, starts)))",
        "values.append(log_mean_exp(path.reverse_log_weights(step_sizes, starts)))",
    ),
    Slip(
        "quadrature without the width of its cells",
        "evidence.quadrature",
        "return self.widths.log().sum()",
        "return 0 * self.widths.log().sum()",
    ),
    Slip(
        "normalizer whose series has another second term",
        "continuous_bernoulli",
        "lambda a: math.log(2) + a**2 / 12",
        "lambda a: math.log(2) + a**2 / 24",
    ),
    Slip(
        "mean of a continuous Bernoulli that is a Bernoulli's",
        "continuous_bernoulli",
        "return _mean(self.logits)",
        "return self.logits.sigmoid()",
    ),
    # --- the data
    Slip(
        "test images for training images",
        "data",
        'mnist = MNIST(root, train=split == "train", download=True)',
        "mnist = MNIST(root, train=False, download=True)",
    ),
    Slip(
        "labels shuffled",
        "data",
        "sets.append(ImageSet(images, mnist.targets, dynamic=dynamic))",
        "mixed = mnist.targets[torch.randperm(len(images), generator=torch.Generator())]\n"
        "        sets.append(ImageSet(images, mixed, dynamic=dynamic))",
    ),
    Slip(
        "images mirrored",
        "data",
        "images = mnist.data.flatten(1).float().div_(255)",
        "images = mnist.data.flip(2).flatten(1).float().div_(255)",
    ),
    Slip(
        "binary pixels by a threshold",
        "minibatches",
        "return uniform.lt_(images)",
        "return uniform.fill_(0.5).lt_(images)",
    ),
    Slip(
        "noise over two levels",
        "minibatches",
        "+ uniform.clamp_(max=1 - 2**-16)) / 256",
        "+ 2 * uniform.clamp_(max=1 - 2**-16)) / 256",
    ),
    Slip(
        "epochs in the order of storage",
        "minibatches",
        "        if self.shuffle:\n",
        "        if False:\n",
    ),
    # --- what is measured and recorded
    Slip(
        "exact posterior with the covariance of the prior",
        "linear_gaussian",
        "scale_tril = torch.linalg.cholesky(torch.cholesky_inverse(factor))",
        "scale_tril = identity",
    ),
    Slip(
        "evidence of one code, not of all",
        "linear_gaussian",
        "self.bias, self.weight, self._scale.square()",
        "self.bias, self.weight[:, :1], self._scale.square()",
    ),
    Slip(
        "Fréchet distance without its means",
        "sample_quality",
        "float(mean_part + covariance_r.trace()",
        "float(0 * mean_part + covariance_r.trace()",
    ),
    Slip(
        "precision and recall exchanged",
        "sample_quality",
        "precision, recall = clouds[0].covers(generated), clouds[1].covers(real)",
        "recall, precision = clouds[0].covers(generated), clouds[1].covers(real)",
    ),
    Slip(
        "noise in codes of half the size",
        "latents",
        "return codes + scale * noise.to(codes.device)",
        "return codes + 0.5 * scale * noise.to(codes.device)",
    ),
    Slip(
        "records of VAE and autoencoder exchanged",
        "experiments.summaries",
        "groups[result.run.model, result.run.latent_dim].append(result)",
        'other = {"vae": "autoencoder", "autoencoder": "vae"}\n'
        "        key = other.get(result.run.model, result.run.model)\n"
        "        groups[key, result.run.latent_dim].append(result)",
    ),
    Slip(
        "histories read backwards",
        "experiments.results",
        'history = History.from_dict(content["history"])',
        'history = History.from_dict(content["history"])\n'
        "        rows = [record.metrics for record in history.records][::-1]\n"
        "        for record, metrics in zip(history.records, rows, strict=True):\n"
        "            object.__setattr__(record, 'metrics', metrics)",
    ),
    # --- what chapters define by hand
    Slip(
        "score function without its density",
        "03_reparameterization",
        "surrogate = (log_likelihood.detach() - baseline) * q.log_prob(z)",
        "surrogate = log_likelihood.detach() - baseline",
    ),
    Slip(
        "score function of five times the size",
        "03_reparameterization",
        "surrogate = (log_likelihood.detach() - baseline) * q.log_prob(z)",
        "surrogate = 5 * (log_likelihood.detach() - baseline) * q.log_prob(z)",
    ),
    Slip(
        "E-step without the shares",
        "01_latent_variable_models",
        "return shares.log() + images @ means.logit().T",
        "return 0 * shares.log() + images @ means.logit().T",
    ),
    Slip(
        "M-step with equal shares",
        "01_latent_variable_models",
        "return r.mean(0), (r.T",
        "return torch.full_like(r.mean(0), 1 / r.shape[1]), (r.T",
    ),
    Slip(
        "M-step that averages over all images",
        "01_latent_variable_models",
        "(r.T @ images / r.sum(0)[:, None])",
        "(r.T @ images / r.sum())",
    ),
    Slip(
        "M-step that makes pixels black or white",
        "01_latent_variable_models",
        "(r.T @ images / r.sum(0)[:, None]).clamp",
        "(r.T @ images / r.sum(0)[:, None]).round().clamp",
    ),
    Slip(
        "pixels by a threshold, not drawn",
        "01_latent_variable_models",
        "y, x = likelihood.mean, likelihood.sample()",
        "y, x = likelihood.mean, likelihood.mean.round()",
    ),
    Slip(
        "posterior on a grid without its prior",
        "01_latent_variable_models",
        "- softplus(logits) @ seen + log_prior",
        "- softplus(logits) @ seen + 0 * log_prior",
    ),
    Slip(
        "upper half that is the whole image",
        "01_latent_variable_models",
        "(torch.arange(784) < 392).float()",
        "(torch.arange(784) < 784).float()",
    ),
    Slip(
        "divergence without its second density",
        "01_latent_variable_models",
        "(posterior * (log_density - log_normal)).sum(1)",
        "(posterior * log_density).sum(1)",
    ),
    Slip(
        "effective sample size without its squares",
        "01_latent_variable_models",
        "return (2 * log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp()",
        "return (log_w.logsumexp(1) - (2 * log_w).logsumexp(1)).exp()",
    ),
    Slip(
        "effective size of a hundredth of the draws",
        "01_latent_variable_models",
        "sizes[D, L] = effective_size(log_w[:, :L])",
        "sizes[D, L] = effective_size(log_w[:, : L // 100])",
    ),
    Slip(
        "test digits for the model's own images",
        "01_latent_variable_models",
        "own = vae.likelihood(vae.prior().sample((200,))).sample()",
        "own = x",
    ),
    Slip(
        "information in one half, not in both",
        "01_latent_variable_models",
        "of_own -= sum(log_joint(own, pixels).logsumexp(1) for pixels in (top, 1 - top))",
        "of_own -= log_joint(own, top).logsumexp(1)",
    ),
    Slip(
        "a flow without its entropy",
        "03_reparameterization",
        "(log_joint(z).mean() + log_sigma.sum()).backward()",
        "(log_joint(z).mean() + 0 * log_sigma.sum()).backward()",
    ),
    Slip(
        "inverse of another distribution",
        "03_reparameterization",
        "-torch.log1p(-uniform[0]) / two",
        "-torch.log1p(-uniform[0]) * two",
    ),
    Slip(
        "baseline of half the size",
        "03_reparameterization",
        "(f - (2 * dim + 2)) * score",
        "(f - (dim + 1)) * score",
    ),
    Slip(
        "slope of half the size",
        "03_reparameterization",
        "(z**2, 2 * z, 0.6)",
        "(z**2, z, 0.6)",
    ),
    Slip(
        "a planted bug that is not there",
        "03_reparameterization",
        "noise = (q.rsample() - q.mean).detach()",
        "noise = q.rsample() - q.mean",
    ),
    Slip(
        "draws from one place of the prior",
        "01_latent_variable_models",
        "of_draws = model.likelihood(model.prior().sample((1000,))).base_dist.logits",
        "z = model.prior().sample((1,)).expand(1000, -1)\n"
        "        of_draws = model.likelihood(z + 1e-3 * torch.randn_like(z)).base_dist.logits",
    ),
    Slip(
        "a planted bug that is not there, in a mixture",
        "01_latent_variable_models",
        "buggy = every_image @ eight.logit().T -",
        "buggy = shares.log() + every_image @ eight.logit().T -",
    ),
    Slip(
        "a ratio of densities upside down",
        "01_latent_variable_models",
        "ratio = posterior / log_prior.exp()",
        "ratio = log_prior.exp() / posterior",
    ),
    Slip(
        "a path without its chain rule",
        "03_reparameterization",
        '"pathwise": 2 * z[:, 0]',
        '"pathwise": z[:, 0]',
    ),
    Slip(
        "slope of a wiggle without its inner derivative",
        "03_reparameterization",
        "-10 * (10 * z).sin(), -10",
        "-(10 * z).sin(), -10",
    ),
    Slip(
        "slope of ten times the size",
        "03_reparameterization",
        "(z**2, 2 * z, 0.6)",
        "(z**2, 20 * z, 0.6)",
    ),
    Slip(
        "seen and fresh draws exchanged",
        "04_likelihoods",
        'r.final["seen_elbo"] - r.final["redrawn_elbo"]',
        'r.final["redrawn_elbo"] - r.final["seen_elbo"]',
    ),
    Slip(
        "normalizer per pixel, not per image",
        "04_likelihoods",
        '[result.final["log_normalizer"] for result',
        '[result.final["log_normalizer"] / P for result',
    ),
    Slip(
        "a variance for its logarithm",
        "04_likelihoods",
        ".fill_(math.log(factor * best))",
        ".fill_(factor * best)",
    ),
    Slip(
        "a scale for its square",
        "04_likelihoods",
        'f["scale"] ** 2 / f["sampled_error"]',
        'f["scale"] / f["sampled_error"]',
    ),
    Slip(
        "records of two densities exchanged",
        "04_likelihoods",
        "groups.setdefault((result.run.pixels, result.run.regime), [])",
        'other = {"continuous-bernoulli": "gaussian-learned"}\n'
        "    other |= {name: kind for kind, name in other.items()}\n"
        "    pixels = other.get(result.run.pixels, result.run.pixels)\n"
        "    groups.setdefault((pixels, result.run.regime), [])",
    ),
    Slip(
        "a planted bug that is not there, in a density",
        "04_likelihoods",
        "return -loss.sum(-1)",
        "return -loss.sum(-1) - loss.shape[-1] * math.log(2 * math.pi) / 2",
    ),
    Slip(
        "a density off by a factor of two",
        "04_likelihoods",
        "return -loss.sum(-1)",
        "return -loss.sum(-1) - math.log(2)",
    ),
    Slip(
        "bisection to the wrong side",
        "04_likelihoods",
        "is_low = aevb.continuous_bernoulli(middle).mean < 0.9",
        "is_low = aevb.continuous_bernoulli(middle).mean > 0.9",
    ),
    Slip(
        "one head counted, not two",
        "05_models",
        'by_hand = {"VAE": [(P + 1) * H, (H + 1) * 2 * D,',
        'by_hand = {"VAE": [(P + 1) * H, (H + 1) * D,',
    ),
    Slip(
        "a standard deviation for a variance",
        "09_generation",
        "variance = random_codes(5_000, D).var()",
        "variance = random_codes(5_000, D).std()",
    ),
    Slip(
        "codes of VAE and autoencoder exchanged",
        "09_generation",
        "points = {key: real_codes(model) for key, model in shipped.items()}",
        'other = {"VAE": "Autoencoder", "Autoencoder": "VAE"}\n'
        "points = {(other[n], size): real_codes(m) for (n, size), m in shipped.items()}",
    ),
    Slip(
        "a floor that is the same for every size of sample",
        "09_generation",
        "frechet_distance(real_features[:n], other_features[:n])",
        "frechet_distance(real_features, other_features)",
    ),
    Slip(
        "real images for white noise",
        "09_generation",
        "judge.features(torch.rand(5_000, 784).to(device))",
        "judge.features(binarize(other))",
    ),
    Slip(
        "every digit for one digit",
        "09_generation",
        '"one digit": other_features[:1].expand(5_000, -1)',
        '"one digit": other_features',
    ),
    Slip(
        "variances for scales of features",
        "09_generation",
        "values.clamp(min=0).sqrt()\ndrawn",
        "values.clamp(min=0)\ndrawn",
    ),
    Slip(
        "confidence that is an average over digits",
        "sample_quality",
        "return float(probabilities.max(-1).values.cpu().double().mean())",
        "return float(probabilities.mean(-1).cpu().double().mean())",
    ),
    Slip(
        "codes of the VAE, decoded by the autoencoder",
        "09_generation",
        'encoded = {size: shipped["Autoencoder", size].encode(other)',
        'encoded = {size: shipped["VAE", size].encode(other)',
    ),
    Slip(
        "a difference of the wrong sign",
        "09_generation",
        "return [one[seed] - two[seed] for seed in sorted(one.keys() & two.keys())]",
        "return [two[seed] - one[seed] for seed in sorted(one.keys() & two.keys())]",
    ),
    Slip(
        "each measure read as the next one",
        "09_generation",
        'run.final["generation"][way][field]',
        "[*run.final['generation'][way].values()]"
        "[[*run.final['generation'][way]].index(field) - 4]",
    ),
    Slip(
        "a mean square for a scale",
        "09_generation",
        '"their scale": z.square().mean().sqrt() * epsilon',
        '"their scale": z.square().mean() * epsilon',
    ),
    Slip(
        "a log-ratio upside down",
        "09_generation",
        "(aggregate.log_prob(z) - standard.log_prob(z) for z",
        "(standard.log_prob(z) - aggregate.log_prob(z) for z",
    ),
    Slip(
        "fifths in the opposite order",
        "09_generation",
        '[hole["precision"] for hole in holes]',
        '[hole["precision"][::-1] for hole in holes]',
    ),
    Slip(
        "the prior's own precision beside its fifths",
        "09_generation",
        'top = numbers("vae", D, "unseen", "precision")',
        'top = numbers("vae", D, "prior", "precision")',
    ),
    Slip(
        "training images, rebuilt, for the mixture's",
        "09_generation",
        'makes = {"mixture": dream(model, mixtures[name].sample((200,)))}',
        'makes = {"mixture": dream(model, model.encode(sets["seen"]))}',
    ),
    Slip(
        "a temperature upside down",
        "09_generation",
        "judge.features(dream(vae, t * epsilon))",
        "judge.features(dream(vae, epsilon / t))",
    ),
    Slip(
        "a planted bug that is not there, in a sampler",
        "09_generation",
        "(normals.covariance_matrix[k] @ epsilon)",
        "(torch.linalg.cholesky(normals.covariance_matrix[k]) @ epsilon)",
    ),
    Slip(
        "a sampler mended by another bug",
        "09_generation",
        "(normals.scale_tril[k] @ epsilon)",
        "(normals.scale_tril[k].mT @ normals.scale_tril[k] @ epsilon)",
    ),
    Slip(
        "models of the two kinds exchanged",
        "10_noise",
        "models[kind, size] = aevb.load_pretrained(kind, size).to(device)",
        "models[kind, size] = aevb.load_pretrained(\n"
        "            {'vae': 'autoencoder', 'autoencoder': 'vae'}[kind], size\n"
        "        ).to(device)",
    ),
    Slip(
        "a Jacobian of half the size",
        "10_noise",
        "predicted[kind, name] = float((jacobian * u).square()",
        "predicted[kind, name] = float((jacobian * u / 2).square()",
    ),
    Slip(
        "the prior's scale for the posterior's",
        "10_noise",
        "recognized(vae.decode(q.mean + s * q.stddev * noise))",
        "recognized(vae.decode(q.mean + s * noise))",
    ),
    Slip(
        "confidence for accuracy, and accuracy for confidence",
        "10_noise",
        'return np.array([r.final["noise"][name][measure] for r in codes[kind, size]])',
        'other = {"accuracy": "confidence", "confidence": "accuracy"}.get(measure, measure)\n'
        '    return np.array([r.final["noise"][name][other] for r in codes[kind, size]])',
    ),
    Slip(
        "the judge's answer for the nearest code's",
        "10_noise",
        "return saw.double(), right.double()",
        "return saw.double(), saw.double()",
    ),
    Slip(
        "precision at one scale for precision where half is lost",
        "10_noise",
        "return [crossing(precision, accuracy) for precision, accuracy in pair]",
        "return [precision[len(precision) // 2] for precision, accuracy in pair]",
    ),
    Slip(
        "two arms exchanged: all, and nothing",
        "10_noise",
        "arms.setdefault(result.run.arm, {})[result.run.seed] = result.history",
        'other = {"no-noise": "noise-and-kl", "noise-and-kl": "no-noise"}\n'
        "    arm = other.get(result.run.arm, result.run.arm)\n"
        "    arms.setdefault(arm, {})[result.run.seed] = result.history",
    ),
    Slip(
        "two arms exchanged: L2 on codes, and noise without KL",
        "10_noise",
        "arms.setdefault(result.run.arm, {})[result.run.seed] = result.history",
        'other = {"l2": "noise-without-kl", "noise-without-kl": "l2"}\n'
        "    arm = other.get(result.run.arm, result.run.arm)\n"
        "    arms.setdefault(arm, {})[result.run.seed] = result.history",
    ),
    Slip(
        "two arms exchanged: noise with KL, and without",
        "10_noise",
        "arms.setdefault(result.run.arm, {})[result.run.seed] = result.history",
        'other = {"noise-and-kl": "noise-without-kl", "noise-without-kl": "noise-and-kl"}\n'
        "    arm = other.get(result.run.arm, result.run.arm)\n"
        "    arms.setdefault(arm, {})[result.run.seed] = result.history",
    ),
    Slip(
        "wider codes before a decoder that expects narrow ones",
        "10_noise",
        "    next(wide.decoder.parameters()).div_(3)\n",
        "",
    ),
    Slip(
        "uneven codes before a decoder that expects even ones",
        "10_noise",
        "    next(uneven.decoder.parameters()).div_(factors)\n",
        "",
    ),
    Slip(
        "one run missing",
        "06_vae_vs_ae",
        'group_results(load_result("latent-dimension"))',
        'group_results(load_result("latent-dimension")[1:])',
    ),
    Slip(
        "a loss to the mean code for the cost of noise",
        "06_vae_vs_ae",
        "noises[size] = gaps[size] - fair[size]",
        "noises[size] = fair[size]",
    ),
    Slip(
        "two draws for a draw and a mean",
        "06_vae_vs_ae",
        "for z in (vae.posterior(x).sample(), vae.encode(x))]",
        "for z in (vae.posterior(x).sample(), vae.posterior(x).sample())]",
    ),
    Slip(
        "a planted bug that is not there, in a cross-entropy",
        "06_vae_vs_ae",
        "-torch.nn.functional.binary_cross_entropy_with_logits(\n        probability, x",
        "-torch.nn.functional.binary_cross_entropy(\n        probability, x",
    ),
    Slip(
        "a variance for the scale of initial weights",
        "experiments.recipe",
        "std=INITIAL_STD, generator",
        "std=INITIAL_STD**0.5, generator",
    ),
    Slip(
        "the lower end of a distribution for the upper",
        "experiments.together",
        "stats.t.ppf(1 - LEVEL / 2, freedom)",
        "stats.t.ppf(LEVEL / 2, freedom)",
    ),
    Slip(
        "three and five dimensions exchanged",
        "14_replication",
        "cell = run.run.algorithm, run.run.latent_dim\n",
        "other = {3: 5, 5: 3}\n"
        "    cell = run.run.algorithm, other.get(run.run.latent_dim, run.run.latent_dim)\n",
    ),
    Slip(
        "AEVB and wake-sleep exchanged",
        "14_replication",
        "streams.setdefault((run.run.algorithm, run.run.num_train), [])",
        'other = {"aevb": "wake-sleep", "wake-sleep": "aevb"}\n'
        "    name = other.get(run.run.algorithm, run.run.algorithm)\n"
        "    streams.setdefault((name, run.run.num_train), [])",
    ),
    Slip(
        "AEVB and Monte Carlo EM exchanged",
        "14_replication",
        "streams.setdefault((run.run.algorithm, run.run.num_train), [])",
        'other = {"aevb": "batch-mcem", "batch-mcem": "aevb"}\n'
        "    name = other.get(run.run.algorithm, run.run.algorithm)\n"
        "    streams.setdefault((name, run.run.num_train), [])",
    ),
    Slip(
        "the small and the large training set exchanged",
        "14_replication",
        "streams.setdefault((run.run.algorithm, run.run.num_train), [])",
        "streams.setdefault((run.run.algorithm, 51_000 - run.run.num_train), [])",
    ),
    Slip(
        "seconds of AEVB for those of another algorithm",
        "14_replication",
        'run.final["step_seconds"] for run in streams[algorithm, num_train]',
        'run.final["step_seconds"] for run in streams["aevb", num_train]',
    ),
    Slip(
        "seconds of an epoch for seconds of a step",
        "14_replication",
        'seconds("mcem", N) / seconds("aevb", N) for N in (1_000, 50_000)}',
        'N / 1_000 * seconds("mcem", N) / seconds("aevb", N) for N in (1_000, 50_000)}',
    ),
    Slip(
        "a trained encoder for the untrained one",
        "14_replication",
        "aevb.VAE(aevb.mnist_vae(2).encoder, two.decoder)",
        "aevb.VAE(two.encoder, two.decoder)",
    ),
    Slip(
        "a reparameterized code for a drawn one",
        "14_replication",
        '"drawn": q.sample(), "reparameterized"',
        '"drawn": q.rsample(), "reparameterized"',
    ),
    Slip(
        "errors at twenty dimensions for those at every size",
        "14_replication",
        "errors = {D: squared_errors(D) for D in (3, 5, 10, 20)}",
        "errors = {D: squared_errors(20) for D in (3, 5, 10, 20)}",
    ),
    Slip(
        "AEVB on the large set beside wake-sleep on either",
        "14_replication",
        'both = zip(racers("aevb", num_train), racers("wake-sleep", num_train)',
        'both = zip(racers("aevb", 50_000), racers("wake-sleep", num_train)',
    ),
    Slip(
        "three dimensions for twenty",
        "14_replication",
        'near = {kind: knows(kind, 20, "neighbors")',
        'near = {kind: knows(kind, 3, "neighbors")',
    ),
    Slip(
        "one normal for a mixture of ten",
        "14_replication",
        'ways["autoencoder, mixture"] = ("autoencoder", "mixture")',
        'ways["autoencoder, mixture"] = ("autoencoder", "normal")',
    ),
    Slip(
        "the gap of AEVB for that of wake-sleep",
        "14_replication",
        "for run in racers(algorithm, 1_000)]\n    return torch.tensor([row[prefix",
        'for run in racers("aevb", 1_000)]\n    return torch.tensor([row[prefix',
    ),
    Slip(
        "a remark missing",
        "14_replication",
        '    "The first term is exact for every diagonal normal, not only in expectation.",\n',
        "",
    ),
    Slip(
        "a value times nothing",
        "14_replication",
        "value = vae_20.likelihood(z).log_prob(x).mean()\n    through",
        "value = 0 * vae_20.likelihood(z).log_prob(x).mean()\n    through",
    ),
    Slip(
        "clouds of VAE and autoencoder exchanged",
        "08_latent_space",
        'codes = {"VAE": q.mean, "Autoencoder": autoencoder.encode(test.images)}',
        'codes = {"Autoencoder": q.mean, "VAE": autoencoder.encode(test.images)}',
    ),
    Slip(
        "σ for σ² in the distance of two moments",
        "08_latent_space",
        "free[size], variance[size] = float((m**2 + v - 1",
        "free[size], variance[size] = float((m**2 + v.sqrt() - 1",
    ),
    Slip(
        "a mismatch of the wrong sign",
        "08_latent_space",
        "at_least[size] = ten - float(aevb.standard_normal(unseen[0]).log_prob(unseen).mean())",
        "at_least[size] = float(aevb.standard_normal(unseen[0]).log_prob(unseen).mean()) - ten",
    ),
    Slip(
        "a gain of the wrong sign, from more normals",
        "08_latent_space",
        "gains[kind, size] = ten - one",
        "gains[kind, size] = one - ten",
    ),
    Slip(
        "a distance upside down",
        "08_latent_space",
        "distance = (q.mean / q.mean.std(0)).norm(dim=1)",
        "distance = 2 / (q.mean / q.mean.std(0)).norm(dim=1)",
    ),
    Slip(
        "a variance for the unit of distances",
        "08_latent_space",
        "    spread = cloud.std(0)\n",
        "    spread = cloud.var(0)\n",
    ),
    Slip(
        "a gain of the wrong sign, on a path",
        "08_latent_space",
        'more = {n: [100 * r.final["gain"][what] for r in runs]',
        'more = {n: [-100 * r.final["gain"][what] for r in runs]',
    ),
    Slip(
        "precision for confidence",
        "08_latent_space",
        'along(r, w, "confidence")',
        'along(r, w, "precision")',
    ),
    Slip(
        "neighbors and linear probe exchanged",
        "08_latent_space",
        '[100 * r.final["classes"][probe] for r in',
        '[100 * r.final["classes"][{"neighbors": "linear", "linear": "neighbors"}[probe]] for r in',
    ),
    Slip(
        "a decoder that does not turn back",
        "08_latent_space",
        "model.likelihood(z @ rotation)",
        "model.likelihood(z)",
    ),
    Slip(
        "a rotation that does not turn",
        "08_latent_space",
        '"random": rotated_bound(wide, spin)',
        '"random": rotated_bound(wide, still)',
    ),
    Slip(
        "a middle that is not stretched",
        "08_latent_space",
        '"sphere": (a + b) / (2 + 2 * cosine).sqrt()[:, None]',
        '"sphere": (a + b) / 2',
    ),
    Slip(
        "weights of encoder and decoder exchanged",
        "08_latent_space",
        "lengths = [twin.encoder.mlp.layers[-1].weight[:2].norm(), "
        "twin.decoder.mlp.layers[0].weight.norm()]",
        "lengths = [twin.decoder.mlp.layers[0].weight.norm(), "
        "twin.encoder.mlp.layers[-1].weight[:2].norm()]",
    ),
    Slip(
        "a planted bug that is not there, in two halves",
        "08_latent_space",
        "known, asked = torch.randperm(len(z))[:half], torch.randperm(len(z))[half:]",
        "known, asked = torch.randperm(len(z)).split(half)",
    ),
    Slip(
        "two halves from two orders",
        "08_latent_space",
        "known, asked = torch.randperm(len(z)).chunk(2)",
        "known, asked = torch.randperm(len(z)).chunk(2)[0], torch.randperm(len(z)).chunk(2)[1]",
    ),
    Slip(
        "three and two hundred dimensions exchanged",
        "07_latent_dimension",
        "runs = [run.history[metric] for run in recorded[kind, size]]",
        "other = {3: 200, 200: 3}.get(size, size)\n"
        "    runs = [run.history[metric] for run in recorded[kind, other]]",
    ),
    Slip(
        "twenty and two hundred dimensions exchanged",
        "07_latent_dimension",
        "runs = [run.history[metric] for run in recorded[kind, size]]",
        "other = {20: 200, 200: 20}.get(size, size)\n"
        "    runs = [run.history[metric] for run in recorded[kind, other]]",
    ),
    Slip(
        "idle for active",
        "07_latent_dimension",
        "    idle = nats < 0.02\n",
        "    idle = nats > 0.02\n",
    ),
    Slip(
        "active for idle",
        "07_latent_dimension",
        "on = active[200]\n",
        "on = ~active[200]\n",
    ),
    Slip(
        "columns in the opposite order",
        "07_latent_dimension",
        "weight.detach().norm(dim=0).cpu()",
        "weight.detach().norm(dim=0).flip(0).cpu()",
    ),
    Slip(
        "first epoch and last exchanged",
        "07_latent_dimension",
        "for v in (thin, nats[200])]",
        "for v in (nats[200], thin)]",
    ),
    Slip(
        "rate and distortion exchanged",
        "07_latent_dimension",
        'for name in ("kl", "log_likelihood")]\nprint',
        'for name in ("log_likelihood", "kl")]\nprint',
    ),
    Slip(
        "a constant of the wrong sign",
        "07_latent_dimension",
        "forgotten = {D: ends[D] - D / 2",
        "forgotten = {D: ends[D] + D / 2",
    ),
    Slip(
        "a planted bug that is not there, in a rate",
        "07_latent_dimension",
        "mean, variance = q.mean.mean(0), q.variance.mean(0)\n"
        "    rate = (mean**2 + variance - 1 - variance.log()).sum() / 2",
        "mean, variance = q.mean, q.variance\n"
        "    rate = (mean**2 + variance - 1 - variance.log()).sum(1).mean() / 2",
    ),
    Slip(
        "a rate without its ½",
        "07_latent_dimension",
        "rate = (mean**2 + variance - 1 - variance.log()).sum() / 2",
        "rate = (mean**2 + variance - 1 - variance.log()).sum()",
    ),
    Slip(
        "codes of other images",
        "06_vae_vs_ae",
        "for z in (vae.posterior(x).sample(), vae.encode(x))]",
        "for z in (vae.posterior(x).sample(), vae.encode(x.flip(0)))]",
    ),
    Slip(
        "logits for probabilities",
        "06_vae_vs_ae",
        "test.images.logit().clamp(0, 1)",
        "test.images.logit()",
    ),
    Slip(
        "distances of the two kinds exchanged, model by model",
        "08_latent_space",
        "apart = torch.pdist(shipped(kind, size).encode(some))",
        'other = {"vae": "autoencoder", "autoencoder": "vae"}[kind]\n'
        "        apart = torch.pdist(shipped(other, size).encode(some))",
    ),
    Slip(
        "five and ten dimensions exchanged",
        "14_replication",
        "cell = run.run.algorithm, run.run.latent_dim\n",
        "other = {5: 10, 10: 5}\n"
        "    cell = run.run.algorithm, other.get(run.run.latent_dim, run.run.latent_dim)\n",
    ),
    Slip(
        "a lead of the wrong sign",
        "longer_races",
        "return ours[:both] - theirs[:both]",
        "return theirs[:both] - ours[:both]",
    ),
    Slip(
        "two racers exchanged at the end",
        "longer_races",
        "pairs = zip(race[AEVB, N], race[WAKE_SLEEP, N], strict=False)",
        "pairs = zip(race[WAKE_SLEEP, N], race[AEVB, N], strict=False)",
    ),
    Slip(
        "a delay of the wrong sign",
        "longer_races",
        'stale[N] = over_seeds(ONLINE, N, "seen_hmc_log_likelihood") - joint',
        'stale[N] = joint - over_seeds(ONLINE, N, "seen_hmc_log_likelihood")',
    ),
    Slip(
        "a delay of the wrong sign, at the end",
        "longer_races",
        "unfit = torch.tensor(of_end) - joint[:, -1]",
        "unfit = joint[:, -1] - torch.tensor(of_end)",
    ),
    Slip(
        "a variance for a spread",
        "longer_races",
        "mean, spread = float(difference.mean()), float(difference.std())",
        "mean, spread = float(difference.mean()), float(difference.var())",
    ),
    Slip(
        "a second run with another seed",
        "speed",
        "for seed in (0, 0, 1))",
        "for seed in (0, 2, 1))",
    ),
    Slip(
        "three runs with one seed",
        "speed",
        "for seed in (0, 0, 1))",
        "for seed in (0, 0, 0))",
    ),
    Slip(
        "a schedule that has half its steps before it",
        "speed",
        "total_steps=len(short) + 1)",
        "total_steps=2 * len(short))",
    ),
    Slip(
        "another learner alone than together",
        "speed",
        "alone, generator = learner(1)",
        "alone, generator = learner(0)",
    ),
    Slip(
        "other noise for the second gradient",
        "11_algorithms",
        "torch.manual_seed(1)  # the same noise",
        "torch.manual_seed(len(gradients))  # the same noise",
    ),
    Slip(
        "four updates after the moves, not five",
        "11_algorithms",
        "for _ in range(5):\n        gradients",
        "for _ in range(4):\n        gradients",
    ),
    Slip(
        "another step size of the moves, by hand",
        "11_algorithms",
        "codes = e_step(twin, x, start, step_size=1.2)",
        "codes = e_step(twin, x, start, step_size=1.1)",
    ),
    Slip(
        "a pass too few in the formula",
        "11_algorithms",
        '"Wake-sleep": 7, "Monte Carlo EM": 37,',
        '"Wake-sleep": 6, "Monte Carlo EM": 36,',
    ),
    Slip(
        "dreams for data in the first lesson",
        "11_algorithms",
        'aevb.sgvb_b(model, x).bound,\n    ("data", "KL(p‖q)")',
        'aevb.sgvb_b(model, model.sample(len(x))).bound,\n    ("data", "KL(p‖q)")',
    ),
    Slip(
        "decoder and encoder exchanged, in what is lost",
        "12_race",
        "parts[N] = ours - theirs, bound - (ours - theirs)",
        "parts[N] = bound - (ours - theirs), ours - theirs",
    ),
    Slip(
        "the two steps exchanged",
        "12_race",
        '(runs[0].final["learning_rate"], at_end(runs))',
        '(round(0.03 - runs[0].final["learning_rate"], 2), at_end(runs))',
    ),
    Slip(
        "pilots of a small step for those of a large one",
        "12_race",
        "for run in pilots if run.run.learning_rate == 0.1]",
        "for run in pilots if run.run.learning_rate == 0.01]",
    ),
    Slip(
        "a lead of the wrong sign, in the race",
        "12_race",
        'return {name: reached["AEVB"] - theirs for',
        'return {name: theirs - reached["AEVB"] for',
    ),
    Slip(
        "a quarter of the covariance",
        "11_algorithms",
        "C = torch.cov(images.T, correction=0)",
        "C = torch.cov(images.T, correction=0) / 4",
    ),
    Slip(
        "chains that go on and chains that restart, exchanged",
        "11_algorithms",
        "num_data=1000, restart=restart)",
        "num_data=1000, restart=not restart)",
    ),
    Slip(
        "the larger step's bound for its gain",
        "12_race",
        "torch.tensor(cell[0.02]) - torch.tensor(cell[0.01])",
        "torch.tensor(cell[0.02])",
    ),
    Slip(
        "a lead of the wrong sign, on other noise",
        "12_race",
        "new = [a - b for a, b in zip(",
        "new = [b - a for a, b in zip(",
    ),
    Slip(
        "a planted bug that is not there, in dreams",
        "11_algorithms",
        "x = model.decode(z)",
        "x = model.likelihood(z).sample()",
    ),
    Slip(
        "the median image for the worst, in quadrature",
        "13_marginal_likelihood",
        "off[count] = (total - truth).abs()",
        "off[count] = (total - truth).abs().quantile(0.5)",
    ),
    Slip(
        "a posterior to the fourth power",
        "13_marginal_likelihood",
        "posterior = log_joint.softmax(1)",
        "posterior = (4 * log_joint).softmax(1)",
    ),
    Slip(
        "weights times q",
        "13_marginal_likelihood",
        "pieces.append(model.log_joint(images, z) - q.log_prob(z))",
        "pieces.append(model.log_joint(images, z) + q.log_prob(z))",
    ),
    Slip(
        "a mean of blocks outside the logarithm",
        "13_marginal_likelihood",
        "return aevb.log_mean_exp(blocks, 1).mean(0)",
        "return blocks.mean(1).mean(0)",
    ),
    Slip(
        "a gap of the wrong sign, for k samples",
        "13_marginal_likelihood",
        "gaps = torch.stack([truth - bound_of(log_w, k) for k in ks])",
        "gaps = torch.stack([bound_of(log_w, k) - truth for k in ks])",
    ),
    Slip(
        "the prior for the encoder's normal",
        "13_marginal_likelihood",
        "q = two.posterior(x)\nlog_w, _, ms_weights",
        "q = aevb.diagonal_normal(torch.zeros(len(x), 2), torch.ones(len(x), 2))\n"
        "log_w, _, ms_weights",
    ),
    Slip(
        "a limit of the lost that is too low",
        "13_marginal_likelihood",
        "lost = forward_kl > math.log(10_000)",
        "lost = forward_kl > math.log(2)",
    ),
    Slip(
        "fit and evaluation on other draws, called the same",
        "13_marginal_likelihood",
        "(fit_normal(z[:50]), slice(0, 50))",
        "(fit_normal(z[:50]), slice(50, 100))",
    ),
    Slip(
        "a normal fitted to all draws of the chain",
        "13_marginal_likelihood",
        "reciprocal(fit_normal(chain.position[:50])",
        "reciprocal(fit_normal(chain.position)",
    ),
    Slip(
        "the best draw for the mean, in a bound",
        "13_marginal_likelihood",
        "(w.mean(0) for w in (log_w, log_w_refined, log_w_peak))",
        "(w.amax(0) for w in (log_w, log_w_refined, log_w_peak))",
    ),
    Slip(
        "few temperatures and many exchanged",
        "13_marginal_likelihood",
        'schedule = {"num_temperatures": count, "num_chains": 4}',
        'schedule = {"num_temperatures": 200 - count, "num_chains": 4}',
    ),
    Slip(
        "fifty draws and two hundred exchanged",
        "13_marginal_likelihood",
        'for name in ("50", "many", "same")',
        'for name in ("many", "50", "same")',
    ),
    Slip(
        "an effective size that forgets the number of weights",
        "13_marginal_likelihood",
        "1 / w.softmax(0).square().sum(0)",
        "1 / w.softmax(0).square().mean(0)",
    ),
    Slip(
        "temperatures that do not add up to one",
        "13_marginal_likelihood",
        "/ count  # first the weight,",
        "/ (count + 1)  # first the weight,",
    ),
    Slip(
        "a constant of the wrong sign, in the prior",
        "slips",
        'shift |= {"2π in the prior only": -math.log(2 * math.pi) / 2}',
        'shift |= {"2π in the prior only": math.log(2 * math.pi) / 2}',
    ),
    Slip(
        "a look at codes that forgets their spread",
        "slips",
        "return abs(z.mean() - 1) < 4 * error and abs(z.std(0).mean() - 2) < 4 * error",
        "return abs(z.mean() - 1) < 4 * error",
    ),
    Slip(
        "a divergence that is never zero",
        "slips",
        "kl.mean()) < 0.01 for vae, _ in at_prior)",
        "kl.mean()) < 0.01 for vae, _ in by_hand)",
    ),
    Slip(
        "a planted bug that is not there, in the order of pixels",
        "slips",
        "pixels = x.repeat_interleave(num_samples, 0)",
        "pixels = x.repeat(num_samples, 1)",
    ),
    Slip(
        "seconds of a step for seconds of an image",
        "experiments.summaries",
        'run.final["step_seconds"] / run.run.batch_size for',
        'run.final["step_seconds"] for',
    ),
    Slip(
        "intervals that forget the √n",
        "experiments.summaries",
        "stdev(numbers) / len(numbers) ** 0.5",
        "stdev(numbers)",
    ),
)
