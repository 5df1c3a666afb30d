// Form of the response cache. Fields that it does not show stay as they are.

import { useState } from "preact/hooks";

import { withField, type Document } from "../../data/document";
import { CheckList, SelectField, TextField } from "../../kit/controls";
import { DocumentForm } from "../../kit/document-form";
import { t } from "../../lang";

type Cache = Record<string, unknown>;

/** The cache of a document that has one, not several. */
export const cacheOf = (document: Document): Cache | undefined => (Array.isArray(document.cache) ? undefined : document.cache);

export function CacheForm({ document, etag, onClose }: { document: Document; etag: string | null; onClose: () => void }) {
  const cache = cacheOf(document);
  const [ttl, setTtl] = useState(typeof cache?.ttl === "string" ? cache.ttl : "1h");
  const [scope, setScope] = useState(typeof cache?.scope === "string" ? cache.scope : "consumer");
  const [routes, setRoutes] = useState<string[]>(Array.isArray(cache?.routes) ? (cache.routes as string[]) : []);
  const edited = (before: Cache | undefined): Cache => withField(withField({ ...before, ttl: ttl.trim() }, "scope", scope === "consumer" ? undefined : scope), "routes", routes);
  return (
    <DocumentForm
      title={cache ? t("cache.edit") : t("cache.add")}
      note={cache ? "cache" : "add cache"}
      etag={etag}
      missing={{ ttl: ttl.trim() === "" ? t("form.required") : undefined }}
      edit={(before) => ({ ...before, cache: edited(cacheOf(before)) })}
      removal={cache && { label: t("action.remove"), edit: (before) => withField(before, "cache", undefined) }}
      onClose={onClose}
    >
      {(errorOf) => (
        <>
          <TextField label={t("cache.ttl")} hint={t("cache.ttl_hint")} value={ttl} error={errorOf("ttl")} onInput={setTtl} focus />
          <SelectField label={t("cache.scope")} value={scope} error={errorOf("scope")} onChange={setScope} choices={(["consumer", "group", "all"] as const).map((value) => ({ value, label: t(`cache.scope_${value}`) }))} />
          <CheckList label={t("consumers.routes")} hint={t("limits.everywhere_hint")} choices={(document.routes ?? []).map((route) => ({ value: route.id, label: route.id }))} value={routes} onChange={setRoutes} />
        </>
      )}
    </DocumentForm>
  );
}
