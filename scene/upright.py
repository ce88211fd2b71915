"""What is up in a scene, told by the people who held the camera: few photos are tilted sideways."""

import numpy as np

SPREAD = 0.2  # how far from a line the cameras' x axes must lie to span a horizontal plane
MOST_DEGREES = 45.0  # the plane's normal may differ from the cameras' own idea of up by so much


def up_direction(camera_to_world: np.ndarray) -> np.ndarray:
    """Unit vector (3,) that points up in the world of OpenCV cameras (N, 4, 4).

    Cameras that are level have horizontal x axes, however they are pitched, so up is the direction in which these
    axes vary least. Where they do not tell, because all photos look the same way, it is the average of the cameras'
    own up; the first camera's where that vanishes.
    """
    own = -camera_to_world[:, :3, 1]
    mean = own.mean(axis=0)
    mean = _unit(mean if np.linalg.norm(mean) > 0.1 else own[0])
    _, strength, axes = np.linalg.svd(camera_to_world[:, :3, 0])
    if len(strength) < 3 or strength[1] < SPREAD * strength[0]:
        return mean
    normal = axes[2] * (1 if axes[2] @ mean >= 0 else -1)
    return normal if normal @ mean > np.cos(np.radians(MOST_DEGREES)) else mean


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)
