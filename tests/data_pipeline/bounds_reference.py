"""The bounds as expressions over the whole page: slow, and what the pass over its bytes must decide like."""

import re

from data_pipeline.extract import bounds

OPEN = re.compile(rb"<[a-zA-Z]")
BREAKS = re.compile(rb"[\t\n\f\r /\"']+")
FORMATTING = re.compile(rb"<(/?)(b|big|code|em|font|i|s|small|strike|strong|tt|u)(?=[\t\n\f\r />])", re.IGNORECASE)


def refusal(data, limits):
    tags = data.count(b"<")
    if tags > min(limits.nodes, limits.depth):
        tags -= data.count(b"</")
    if tags > limits.nodes:
        return "html_nodes", tags
    if tags > limits.depth and (found := bounds.depth(data, limits.depth)) > limits.depth:
        return "html_depth", found
    if tags * tags > 4 * limits.nodes and tags * (1 + most_left_open(data)) > limits.nodes:
        found = bounds.nodes(data, limits.nodes)
        if found > limits.nodes:
            return "html_nodes", found
    if suspect_attributes(data, limits.attributes):
        found = bounds.attributes(data, limits.attributes)
        if found > limits.attributes:
            return "html_attributes", found
    return None


def most_left_open(data):
    opened = {}
    total = most = 0
    for end, name in FORMATTING.findall(data):
        if not end:
            opened[name] = opened.get(name, 0) + 1
            total += 1
            most = max(most, total)
        elif opened.get(name):
            opened[name] -= 1
            total -= 1
    return most


def suspect_attributes(data, limit):
    for stretch in data.split(b">"):
        start = OPEN.search(stretch)
        if len(stretch) > 2 * limit and start and len(BREAKS.findall(stretch, start.start())) > limit:
            return True
    return False
