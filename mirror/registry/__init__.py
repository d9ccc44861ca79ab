"""The port every registry implements, and what any implementation needs: verifying streams, a delegate, a fake."""
