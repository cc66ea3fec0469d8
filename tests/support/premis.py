"""What PREMIS 3 asks of the elements that are written here, as a schema.

The Library of Congress's own is not on the machines that run the tests. Names, order and what may
be repeated are those of the data dictionary; everything that is not written here is left out.
"""

from __future__ import annotations

from pathlib import Path

import xmlschema

_NAMESPACE = "http://www.loc.gov/premis/v3"
# Each element with what lies in it, in order; a mark says how often: ? * +, without one once.
_ELEMENTS = {
    "objectIdentifier": "objectIdentifierType objectIdentifierValue",
    "fixity": "messageDigestAlgorithm messageDigest",
    "formatDesignation": "formatName",
    "format": "formatDesignation",
    "objectCharacteristics": "fixity* size? format+",
    "relatedObjectIdentifier": "relatedObjectIdentifierType relatedObjectIdentifierValue",
    "relatedEventIdentifier": "relatedEventIdentifierType relatedEventIdentifierValue",
    "relationship": "relationshipType relationshipSubType relatedObjectIdentifier+"
    " relatedEventIdentifier*",
    "linkingEventIdentifier": "linkingEventIdentifierType linkingEventIdentifierValue",
    "eventIdentifier": "eventIdentifierType eventIdentifierValue",
    "eventDetailInformation": "eventDetail?",
    "eventOutcomeDetail": "eventOutcomeDetailNote?",
    "eventOutcomeInformation": "eventOutcome? eventOutcomeDetail*",
    "linkingAgentIdentifier": "linkingAgentIdentifierType linkingAgentIdentifierValue"
    " linkingAgentRole*",
    "linkingObjectIdentifier": "linkingObjectIdentifierType linkingObjectIdentifierValue"
    " linkingObjectRole*",
    "event": "eventIdentifier eventType eventDateTime eventDetailInformation*"
    " eventOutcomeInformation* linkingAgentIdentifier* linkingObjectIdentifier*",
    "agentIdentifier": "agentIdentifierType agentIdentifierValue",
    "agent": "agentIdentifier+ agentName* agentType? agentVersion? agentNote*",
}
_FILE = (
    "objectIdentifier+ objectCharacteristics+ originalName? relationship* linkingEventIdentifier*"
)
_SIMPLE = {"size": "xs:long", "eventDateTime": "xs:dateTime"}
_OCCURS = {
    "?": ' minOccurs="0"',
    "*": ' minOccurs="0" maxOccurs="unbounded"',
    "+": ' maxOccurs="unbounded"',
}


def _sequence(content: str) -> str:
    parts = "".join(
        f'<xs:element ref="p:{name.rstrip("?*+")}"{_OCCURS.get(name[-1], "")}/>'
        for name in content.split()
    )
    return f"<xs:sequence>{parts}</xs:sequence>"


def _schema() -> str:
    named = {
        part.rstrip("?*+") for content in (*_ELEMENTS.values(), _FILE) for part in content.split()
    }
    simple = "".join(
        f'<xs:element name="{name}" type="{_SIMPLE.get(name, "xs:string")}"/>'
        for name in sorted(named - _ELEMENTS.keys())
    )
    complex_ = "".join(
        f'<xs:element name="{name}"><xs:complexType>{_sequence(content)}</xs:complexType>'
        "</xs:element>"
        for name, content in _ELEMENTS.items()
    )
    return (
        f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:p="{_NAMESPACE}"'
        f' targetNamespace="{_NAMESPACE}" elementFormDefault="qualified">{simple}{complex_}'
        '<xs:complexType name="objectComplexType" abstract="true"/>'
        '<xs:complexType name="file"><xs:complexContent><xs:extension base="p:objectComplexType">'
        f"{_sequence(_FILE)}</xs:extension></xs:complexContent></xs:complexType>"
        '<xs:element name="object" type="p:objectComplexType"/>'
        '<xs:element name="premis"><xs:complexType>'
        f"{_sequence('object+ event* agent*')}"
        '<xs:attribute name="version" use="required" fixed="3.0"/></xs:complexType></xs:element>'
        "</xs:schema>"
    )


def validate(path: Path) -> None:
    """Raise XMLSchemaValidationError for a file that is no PREMIS of these elements."""
    xmlschema.XMLSchema(_schema()).validate(str(path))
