"""Writes the small genuine checkpoints of test_torch_checkpoint.cpp: torch_small.ckpt (written by PyTorch 1.13), and
torch_small_legacy.pt, the same in the format before 1.6 (written by PyTorch 2.15).

It has what a Lightning checkpoint has beside its weights, and weights that share, skip and reorder their storage.
"""
from collections import OrderedDict

import torch

base = torch.arange(24, dtype=torch.float32)
model = torch.nn.Linear(3, 2)
with torch.no_grad():
    for parameter in model.parameters():
        parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) / 4 - 0.5)
model(torch.ones(1, 3)).sum().backward()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
optimizer.step()

state = OrderedDict(model.state_dict())
state["plain"] = base.reshape(2, 3, 4)
state["transposed"] = base.reshape(2, 3, 4).permute(2, 0, 1)
state["part"] = base.reshape(4, 6)[1:3, 1:6:2]
state["spread"] = torch.tensor([1.5, -2.5]).reshape(2, 1).expand(2, 3)
state["double"] = torch.tensor([0.1, -1e300], dtype=torch.float64)
state["count"] = torch.tensor(1 << 40)
state["int"] = torch.tensor([-7, 8], dtype=torch.int32)
state["byte"] = torch.tensor([[0, 255]], dtype=torch.uint8)
state["empty"] = torch.zeros(0, 3)

content = {
    "epoch": 3,
    "global_step": 70000,
    "pytorch-lightning_version": "1.9.0",
    "state_dict": state,
    "loops": {"fit_loop": {"state": {}, "done": [True, False, None], "limit": -1, "large": 1 << 40}},
    "callbacks": {"ModelCheckpoint{'monitor': 'val_bpd'}": {"best_model_score": torch.tensor(1.08), "best": ""}},
    "optimizer_states": [optimizer.state_dict()],
    "lr_schedulers": [{"gamma": 0.99, "_last_lr": [1e-3]}],
    "hyper_parameters": {"sizes": (32, 64), "pair": (1, 2, 3), "lr": 1e-3},
}
torch.save(content, "torch_small.ckpt")
torch.save(content, "torch_small_legacy.pt", _use_new_zipfile_serialization=False)
