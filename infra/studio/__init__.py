"""The embedded studio: Prefect server, object store, renderer pool and worker as one supervised group of processes."""
