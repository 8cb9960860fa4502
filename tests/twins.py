"""Nets of other libraries, built by them, for ours to be held against."""


def torchvisions(torch, num_classes=1000, width=1):
    """torchvision's `alexnet`, layer by layer, with random weights; width: a share of its maps."""
    nn = torch.nn
    a, b, c, d, f = (round(maps * width) for maps in (64, 192, 384, 256, 4096))
    net = nn.Sequential()
    net.features = nn.Sequential(
        *(nn.Conv2d(3, a, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(a, b, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
        *(nn.Conv2d(b, c, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(c, d, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(d, d, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, stride=2)),
    )
    net.avgpool = nn.AdaptiveAvgPool2d((6, 6))
    net.flatten = nn.Flatten()
    net.classifier = nn.Sequential(
        *(nn.Dropout(), nn.Linear(d * 36, f), nn.ReLU()),
        *(nn.Dropout(), nn.Linear(f, f), nn.ReLU()),
        nn.Linear(f, num_classes),
    )
    return net.eval()
