# The pipeline on Airflow's official image: the code, the model, and what they need, to the hash.
# It runs as the image's own user `airflow` (50000, group 0). Each service's health check stands in
# docker-compose.yaml, as every part of Airflow is asked for its health in another way.
FROM apache/airflow:slim-3.3.2-python3.11

# All that production needs but TensorFlow, which only trains: tasks score with LiteRT.
COPY requirements-image.txt /tmp/requirements.txt
# The lock is complete, so nothing is left to resolve.
RUN pip install --no-cache-dir --no-deps --require-hashes -r /tmp/requirements.txt

ENV PYTHONPATH=/opt/airflow/plugins:/opt/airflow
COPY --chown=airflow:root include/ /opt/airflow/include/
COPY --chown=airflow:root plugins/ /opt/airflow/plugins/
COPY --chown=airflow:root dags/ /opt/airflow/dags/
