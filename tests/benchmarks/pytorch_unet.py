"""The network of Ronneberger et al. 2015 in plain PyTorch, which the benchmarks compare with Tessera."""
import torch
from torch.nn import functional as F


class UNet(torch.nn.Module):
    """Two classes. `dropout` is that of the two deepest levels in training. `up_in_float32`: under autocast the
    up-convolutions stay in float32, because LibTorch 1.13 has none in bfloat16 on the CPU."""

    def __init__(self, filters, dropout=0.0, up_in_float32=False):
        super().__init__()
        self.dropout, self.up_in_float32 = dropout, up_in_float32
        self.convs, self.ups = torch.nn.ModuleList(), torch.nn.ModuleList()
        channels = 1
        for level in list(range(5)) + [3, 2, 1, 0]:
            width = filters << level
            if len(self.convs) >= 10:
                self.ups.append(torch.nn.ConvTranspose2d(2 * width, width, 2, 2))
            self.convs.append(torch.nn.Conv2d(channels if len(self.convs) < 10 else 2 * width, width, 3))
            self.convs.append(torch.nn.Conv2d(width, width, 3))
            channels = width
        self.to_classes = torch.nn.Conv2d(filters, 2, 1)

    def up(self, index, x):
        if not self.up_in_float32:
            return self.ups[index](x)
        with torch.autocast("cpu", enabled=False):
            return self.ups[index](x.float()).to(x.dtype)

    def forward(self, x):
        skips = []
        for block in range(9):
            if block > 4:
                x = self.up(block - 5, x)
                skip = skips[8 - block]
                margin = (skip.size(2) - x.size(2)) // 2
                x = torch.cat([skip[:, :, margin:margin + x.size(2), margin:margin + x.size(3)], x], 1)
            x = F.relu(self.convs[2 * block](x), inplace=True)
            x = F.relu(self.convs[2 * block + 1](x), inplace=True)
            if block in (3, 4):
                x = F.dropout(x, self.dropout, self.training)
            if block < 4:
                skips.append(x)
                x = F.max_pool2d(x, 2)
        return self.to_classes(x)


def with_weights(network, network_file):
    """The network with the weights of a TorchScript file that Tessera wrote."""
    held = torch.jit.load(network_file, map_location="cpu").state_dict()
    network.load_state_dict({name: held[name.replace(".", "_")] for name in network.state_dict()})
    return network
