"""What is true of Linkerd and of nothing else: releases, charts, images, values, proof."""
