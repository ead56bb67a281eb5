"""The same work in PyTorch, on the same machine and the same checkpoint folder, for `deno task bench 7b`.

    python tests/bench/pytorch_reference.py CHECKPOINT --out reference.json --values values.safetensors

Needs torch and transformers only. Two ways of running are timed:

published   as the published program runs: float32 weights; training under bfloat16 autocast with gradient checkpointing, logits of every
            position, the vision tower in every step, and in stage 2 a gradient and AdamW for the whole embedding. (The published
            program keeps the moments in 8 bits; here they have 32.)
tuned       bfloat16 weights, no checkpointing, features computed once, logits of the answer alone, only the prompt's rows train.

`--values` writes inputs and float32 results at full shapes: features, logits, losses, gradients. `deno task bench 7b --values` compares. How far
PyTorch itself is off in bfloat16 is printed.
"""

import argparse
import json
import statistics
import time

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

VIEWS, VIEW_TOKENS, PROMPT = 6, 5, 32
VISION_START, VISION_END, IM_END = 151652, 151653, 151645


class Reference:
    """A checkpoint with the parts that MASP adds."""

    def __init__(self, folder, device, dtype):
        key = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"
        self.model = transformers.Qwen2VLForConditionalGeneration.from_pretrained(folder, **{key: dtype}).to(device)
        self.model.requires_grad_(False)
        inner = self.model.model
        self.visual = getattr(inner, "visual", None) or self.model.visual
        self.text = getattr(inner, "language_model", inner)
        self.device, self.dtype = device, dtype
        self.width = self.text.embed_tokens.weight.shape[1]
        self.random = torch.Generator().manual_seed(1)
        make = lambda: nn.MultiheadAttention(self.width, 1, batch_first=True)
        with torch.random.fork_rng():
            torch.manual_seed(2)
            self.attention = nn.ModuleList(make() for _ in range(VIEWS)).to(device)
        self.queries = nn.ParameterList(nn.Parameter(self.normal(VIEW_TOKENS, self.width)) for _ in range(VIEWS)).to(device)
        self.prompt = nn.Parameter(self.normal(PROMPT, self.width, scale=0.02))

    def normal(self, *shape, scale=1.0):
        return (torch.randn(*shape, generator=self.random) * scale).to(self.device)

    def picture(self, size, count=1):
        """Patches (P, 1176) of a picture that stands still, and its grid."""
        width, height = (max(1, round(side / 28)) * 2 for side in size)
        frame = self.normal(count * width * height, 3, 1, 14, 14)
        grid = torch.tensor([[1, height, width]] * count, device=self.device)
        return frame.expand(-1, -1, 2, -1, -1).reshape(-1, 1176), grid

    def features(self, pixels, grid):
        out = self.visual(pixels.to(self.dtype), grid_thw=grid)
        return getattr(out, "pooler_output", out)

    def aspects(self, features, views=range(VIEWS)):
        """z of the views, below each other: (B, views * 5, D). @param features (B, N, D)"""
        kind = torch.float32 if torch.is_autocast_enabled() else self.attention[0].out_proj.weight.dtype
        features = features.to(kind)
        rows = []
        for view in views:
            query = self.queries[view].to(kind).expand(features.shape[0], -1, -1)
            rows.append(self.attention[view](query, features, features, need_weights=False)[0])
        return torch.cat(rows, dim=1)

    def ids(self, length):
        return torch.randint(256, 150000, (length,), generator=self.random).to(self.device)

    def sequence(self, texts, inside, prompt):
        """Input rows (B, L, D): texts[0] [prompt] <vision_start> inside <vision_end> [prompt] texts[1]."""
        embed = lambda ids: self.text.embed_tokens(ids.to(self.device)).expand(inside.shape[0], -1, -1)
        prompt = [] if prompt is None else [prompt.to(self.dtype).expand(inside.shape[0], -1, -1)]
        mark = lambda token: embed(torch.tensor([token]))
        parts = [embed(texts[0]), *prompt, mark(VISION_START), inside.to(self.dtype), mark(VISION_END), *prompt, embed(texts[1])]
        return torch.cat(parts, dim=1)

    def forward(self, rows, **options):
        positions = torch.arange(rows.shape[1], device=self.device)
        return self.model(inputs_embeds=rows, position_ids=positions.expand(3, rows.shape[0], -1), **options)

    @torch.no_grad()
    def generate(self, rows, tokens):
        """Greedy answers; plain positions on all three axes."""
        out = self.forward(rows, use_cache=True, logits_to_keep=1)
        for step in range(tokens - 1):
            best = out.logits[:, -1].argmax(-1, keepdim=True)
            position = torch.full((3, rows.shape[0], 1), rows.shape[1] + step, device=self.device)
            embedded = self.text.embed_tokens(best)
            out = self.model(inputs_embeds=embedded, position_ids=position, past_key_values=out.past_key_values, use_cache=True)
        return out.logits[:, -1].argmax(-1)

    def loss(self, rows, answer, published):
        """Mean cross-entropy of the answer's tokens, which stand before the last two rows."""
        count = answer.shape[0]
        first = rows.shape[1] - 2 - count
        if published:  # logits of all positions
            logits = self.forward(rows, use_cache=False).logits.float()[0, first - 1 : first - 1 + count]
        else:
            keep = torch.arange(first - 1, first - 1 + count, device=self.device)
            logits = self.forward(rows, use_cache=False, logits_to_keep=keep).logits.float()[0]
        return nn.functional.cross_entropy(logits, answer), logits


class Bench:
    def __init__(self, args):
        self.args, self.device = args, torch.device(args.device)
        self.results = {}

    def time(self, name, work, per=1):
        """Median milliseconds of `work` and the most memory that it took, in GiB."""
        cuda = self.device.type == "cuda"
        wait = torch.cuda.synchronize if cuda else (lambda: None)
        for _ in range(self.args.warmup):
            work()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(self.args.repeats):
            wait()
            begin = time.perf_counter()
            work()
            wait()
            times.append((time.perf_counter() - begin) * 1000 / per)
        peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else None
        self.results[name] = {"ms": statistics.median(times), "gpu_gib": peak, "repeats": len(times)}
        print(f"{name}: {self.results[name]['ms']:.1f} ms", flush=True)

    def run(self, reference, mode):
        published = mode == "published"
        args = self.args
        texts = [reference.ids(args.head_tokens), reference.ids(args.question_tokens)]
        for size in args.sizes:
            name = f"{mode}/{size[0]}x{size[1]}"
            pictures = {count: reference.picture(size, count) for count in (1, args.batch)}

            @torch.no_grad()
            def evaluate(count):
                features = reference.features(*pictures[count]).view(count, -1, reference.width)
                inside = torch.cat([reference.aspects(features).to(reference.dtype), features], dim=1)
                reference.generate(reference.sequence(texts, inside, reference.prompt), 4)

            reference.model.eval()
            self.time(f"{name}/evaluate", lambda: evaluate(1))
            if args.batch > 1:
                self.time(f"{name}/evaluate batch of {args.batch}", lambda: evaluate(args.batch), per=args.batch)
            with torch.no_grad():
                kept = reference.features(*pictures[1])[None]
                rows = reference.sequence(texts, torch.cat([reference.aspects(kept).to(reference.dtype), kept], 1), reference.prompt)
            self.token(name, reference, rows)
            self.training(name, reference, pictures[1], kept, published)

    def token(self, name, reference, rows):
        """Milliseconds of one more token: the difference between a long and a short answer."""
        short, long = 2, 2 + self.args.tokens
        self.time(f"{name}/short answer", lambda: reference.generate(rows, short))
        self.time(f"{name}/long answer", lambda: reference.generate(rows, long))
        short_ms, long_ms = (self.results.pop(f"{name}/{which} answer")["ms"] for which in ("short", "long"))
        self.results[f"{name}/token"] = {"ms": (long_ms - short_ms) / (long - short), "repeats": self.args.repeats}

    def training(self, name, reference, picture, kept, published):
        args = self.args
        model = reference.model
        model.train()
        if published:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        answer = reference.ids(args.answer_tokens)
        end = torch.tensor([IM_END, 198], device=self.device)
        tail = lambda count: torch.cat([reference.ids(count), answer, end])
        cast = lambda: torch.autocast(self.device.type, torch.bfloat16, enabled=published)
        embedding = reference.text.embed_tokens.weight

        def step(stage, optimizer, parameters, cached):
            with cast():
                with torch.no_grad():
                    features = kept if cached else reference.features(*picture)[None]
                if stage == 1:
                    texts, inside, prompt = texts1, reference.aspects(features, [0]), None
                else:
                    with torch.no_grad():
                        inside = torch.cat([reference.aspects(features).to(features.dtype), features], 1)
                    texts, prompt = texts2, reference.prompt
                    if published:
                        prompt = reference.text.embed_tokens(prompt_ids)
                loss, _ = reference.loss(reference.sequence(texts, inside, prompt), answer, published)
            loss.backward()
            if stage == 2 and published:
                embedding.grad[: prompt_ids[0]] = 0
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()

        texts1 = [reference.ids(args.head_tokens), tail(args.aspect_question_tokens)]
        texts2 = [reference.ids(args.head_tokens), tail(args.question_tokens)]
        prompt_ids = torch.arange(PROMPT, device=self.device) + embedding.shape[0] - PROMPT
        for stage in (1, 2):
            whole = stage == 2 and published
            parameters = [*reference.attention.parameters(), *reference.queries] if stage == 1 else [embedding if whole else reference.prompt]
            embedding.requires_grad_(whole)
            optimizer = torch.optim.AdamW(parameters, lr=1e-6)
            for cached in (False, True) if published else (True,):
                what = f"{name}/stage {stage} step" + ("" if published and not cached else ", cached features")
                self.time(what, lambda: step(stage, optimizer, parameters, cached))
            embedding.requires_grad_(False)
            del optimizer
        if published:
            model.gradient_checkpointing_disable()
        model.eval()

    def values(self, reference, path):
        """Inputs and float32 results of one picture: everything that the comparison needs."""
        args = self.args
        pixels, grid = reference.picture(args.sizes[-1])
        answer = reference.ids(args.answer_tokens)
        end = torch.tensor([IM_END, 198], device=self.device)
        tail = lambda count: torch.cat([reference.ids(count), answer, end])
        head, tail1, tail2 = reference.ids(args.head_tokens), tail(args.aspect_question_tokens), tail(args.question_tokens)
        with torch.no_grad():
            features = reference.features(pixels, grid)[None]
        out = {"pixels": pixels, "grid": grid[0], "head": head, "tail1": tail1, "tail2": tail2, "answer": answer, "features": features[0]}
        aspects = reference.normal(1, VIEWS * VIEW_TOKENS, reference.width, scale=0.1).requires_grad_()
        prompt = reference.prompt
        rows = reference.sequence([head, tail2], torch.cat([aspects, features], 1), prompt)
        loss, logits = reference.loss(rows, answer, False)
        gradients = torch.autograd.grad(loss, [prompt, aspects])
        out |= {"prompt": prompt, "aspects": aspects[0], "stage2.loss": loss[None], "stage2.logits": logits}
        out |= {"stage2.d_prompt": gradients[0], "stage2.d_aspects": gradients[1][0]}
        module = reference.attention[0]
        weights = dict(module.named_parameters()) | {"queries": reference.queries[0]}
        z = reference.aspects(features, [0])
        loss, logits = reference.loss(reference.sequence([head, tail1], z, None), answer, False)
        gradients = torch.autograd.grad(loss, list(weights.values()))
        out |= {"stage1.z": z[0], "stage1.loss": loss[None], "stage1.logits": logits}
        out |= {f"stage1.{name}": value for name, value in weights.items()}
        out |= {f"stage1.d_{name}": value for name, value in zip(weights, gradients)}
        save_file({name: value.detach().cpu().contiguous() for name, value in out.items()}, path)
        print(f"written: {path}", flush=True)

    def rounded(self, reference, path):
        """How far the same in bfloat16 is from the values in float32: norm of the difference over the norm of the values."""
        expected = {name: value.to(self.device) for name, value in load_file(path).items()}
        inputs = {name: expected[name].clone().requires_grad_() for name in ("prompt", "aspects")}
        with torch.no_grad():
            out = {"features": reference.features(expected["pixels"], expected["grid"][None])}
        inside = torch.cat([inputs["aspects"], expected["features"]])[None]
        rows = reference.sequence([expected["head"], expected["tail2"]], inside, inputs["prompt"])
        loss, out["stage2.logits"] = reference.loss(rows, expected["answer"], False)
        out["stage2.d_prompt"], out["stage2.d_aspects"] = torch.autograd.grad(loss, list(inputs.values()))
        for name, value in out.items():
            error = (value.detach().float() - expected[name]).norm() / expected[name].norm()
            print(f"{name} in bfloat16: off by {error.item():.1e}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = lambda text: tuple(int(side) for side in text.split("x"))
    parser.add_argument("checkpoint")
    parser.add_argument("--out", help="where the times go (JSON)")
    parser.add_argument("--values", help="where inputs and results go (safetensors)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--modes", default="published,tuned")
    parser.add_argument("--pictures", dest="sizes", type=lambda text: [size(part) for part in text.split(",")], default=[(640, 480), (1024, 768)])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=32, help="tokens over which a further token is timed")
    parser.add_argument("--head-tokens", type=int, default=15)
    parser.add_argument("--question-tokens", type=int, default=50)
    parser.add_argument("--aspect-question-tokens", type=int, default=20)
    parser.add_argument("--answer-tokens", type=int, default=3)
    args = parser.parse_args()
    bench = Bench(args)
    if args.values or (args.out and "published" in args.modes):
        reference = Reference(args.checkpoint, bench.device, torch.float32)
        if args.values:
            bench.values(reference, args.values)
        if args.out and "published" in args.modes:
            bench.run(reference, "published")
        del reference
        torch.cuda.empty_cache()
    if (args.values or args.out) and "tuned" in args.modes:
        reference = Reference(args.checkpoint, bench.device, torch.bfloat16)
        if args.values:
            bench.rounded(reference, args.values)
        if args.out:
            reference.attention.to(torch.bfloat16)
            bench.run(reference, "tuned")
    if args.out:
        machine = torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU"
        facts = {"machine": machine, "torch": torch.__version__, "transformers": transformers.__version__, "checkpoint": args.checkpoint}
        with open(args.out, "w") as file:
            json.dump({**facts, "results": bench.results}, file, indent=1)
        print(f"written: {args.out}")


if __name__ == "__main__":
    main()
