//! What every process needs: settings, logs, metrics, probes and shutdown.
