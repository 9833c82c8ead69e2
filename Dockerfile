# The workflow in a container: docker build -t spdclust . && docker run -v "$PWD:/work" spdclust workflow run --cores 2
# For Apptainer: apptainer build spdclust.sif docker-daemon://spdclust:latest
FROM python:3.12-slim
COPY pyproject.toml constraints.txt README.md LICENSE Snakefile /opt/spdclust/
COPY src /opt/spdclust/src
COPY rules /opt/spdclust/rules
COPY workflow /opt/spdclust/workflow
COPY config /opt/spdclust/config
COPY envs /opt/spdclust/envs
COPY profiles /opt/spdclust/profiles
COPY report /opt/spdclust/report
RUN python -m pip install --no-cache-dir -c /opt/spdclust/constraints.txt "/opt/spdclust[lm]"
WORKDIR /work
ENTRYPOINT ["spdclust"]
