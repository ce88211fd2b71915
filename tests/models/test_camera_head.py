"""The camera head."""

import torch

from manyview.models.camera_head import CameraHead, CameraHeadConfig, activate_pose

CONFIG = CameraHeadConfig(trunk_depth=1, heads=2, passes=3)


def test_activation_golden(function_goldens):
    function_goldens.agree("activate_pose/out/y", activate_pose(function_goldens.tensor("activate_pose/in/x")))


def test_training_starts_near_identity_and_one_radian():
    torch.manual_seed(0)
    head = CameraHead(32, CONFIG)
    poses = head(torch.randn(2, 4, 32))
    assert poses.shape == (3, 2, 4, 9)
    expected = torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    assert (poses[-1] - expected).abs().max() < 0.2
    assert (poses[..., 7:] > 0).all()  # the ReLU lets every gradient pass


def test_cameras_see_each_other_but_not_other_scenes():
    torch.manual_seed(0)
    head = CameraHead(32, CONFIG).eval()
    tokens = torch.randn(2, 3, 32)
    changed = tokens.clone()
    changed[0, 2] += torch.randn(32)
    moved = (head(tokens) - head(changed)).abs().amax(dim=(0, 3))
    assert (moved[0] > 0).all() and (moved[1] == 0).all()


def test_estimate_is_fed_back_without_gradient():
    torch.manual_seed(0)
    head = CameraHead(32, CONFIG)
    seen = []
    head.embed_pose.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    poses = head(torch.randn(1, 2, 32))
    assert seen[0].requires_grad  # the learnt start
    assert not seen[1].requires_grad and not seen[2].requires_grad
    torch.testing.assert_close(activate_pose(seen[1]), poses[0])
