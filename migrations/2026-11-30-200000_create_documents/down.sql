DROP TABLE idempotency, upload, chunk, document_page, documents, blob, tenant_identity, api_key, tenant;
DROP FUNCTION gleaner_stage_documents_process(), gleaner_ask_document(), gleaner_tell_document(), gleaner_notify_document(),
    gleaner_add_isolation(regclass, text, text), gleaner_tenant_id();
