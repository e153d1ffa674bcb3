# The pipeline on Airflow's official image: the code, the model, and the locked requirements.
# It runs as the image's user `airflow` (50000, group 0). The health checks are in
# docker-compose.yaml, because each component of Airflow needs a different one.
FROM apache/airflow:slim-3.3.2-python3.11

# All requirements of production without TensorFlow, which only training needs: tasks use LiteRT.
COPY requirements-image.txt /tmp/requirements.txt
# The lock is complete, so pip has no dependencies to resolve.
RUN pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt

ENV PYTHONPATH=/opt/airflow/plugins:/opt/airflow
COPY --chown=airflow:root include/ /opt/airflow/include/
COPY --chown=airflow:root plugins/ /opt/airflow/plugins/
COPY --chown=airflow:root dags/ /opt/airflow/dags/
